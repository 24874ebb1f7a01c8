"""The self-test of PFSELFTEST: register packings against plain lists, estimates against true counts.

Knows nothing but `storage.hyperloglog`. Takes about half a second, during which the server serves nobody.
"""

from __future__ import annotations

from storage import hyperloglog as hll

ROUNDS = 20
CHECKPOINTS = (1, 10, 100, 1000, 10_000, 30_000)
SPARSE_MAX_BYTES = 3000
# The standard error is 1.04 / sqrt(registers) = 0.81 %; small sets are held to an absolute slack.
MAX_ERRORS = 4.0
SLACK = 4.0


def examine() -> bytes:
    """Return what failed in the words of a client's error, or nothing."""
    return _examine_packing() or _examine_estimates()


def _examine_packing() -> bytes:
    from random import Random

    random = Random()
    for number in range(ROUNDS):
        ranks = bytes(random.randrange(64) for _ in range(hll.REGISTERS))
        value = hll.create()
        hll.raise_registers(value, ranks, True, SPARSE_MAX_BYTES)
        if bytes(hll.registers(value)) != ranks:
            return b"Dense register packing differs in round %d" % number
    return b""


def _examine_estimates() -> bytes:
    import os

    salt = os.urandom(8)
    sparse = hll.create()
    dense = hll.create()
    hll.to_dense(dense)
    added = 0
    for checkpoint in CHECKPOINTS:
        elements = [b"%b%d" % (salt, number) for number in range(added, checkpoint)]
        hll.add(sparse, elements, SPARSE_MAX_BYTES)
        hll.add(dense, elements, SPARSE_MAX_BYTES)
        added = checkpoint
        if hll.registers(sparse) != hll.registers(dense):
            return b"Sparse and dense registers differ after %d elements" % checkpoint
        estimated = hll.refresh_count(dense)
        if hll.refresh_count(sparse) != estimated:
            return b"Sparse and dense estimates differ after %d elements" % checkpoint
        if abs(estimated - checkpoint) > MAX_ERRORS * 0.0082 * checkpoint + SLACK:
            return b"Too high an error: %d instead of %d elements" % (estimated, checkpoint)
    return b""
