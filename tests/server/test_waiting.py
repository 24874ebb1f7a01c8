"""Who waits for replicas: the list of them, where no replica ever answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from server.replication.waiting import SWEEP_FLOOR, Waits


def begin(waits: Any) -> Any:
    session = SimpleNamespace(wrote=0, denies_blocking=False, waiter=None)
    session.waiter = SimpleNamespace(block=waits.wait(session, 1, 10))
    return session


def test_a_master_without_replicas_lets_go_of_clients_that_have_waited():
    """Each WAIT kept its session and its connection for as long as no replica said anything."""
    replication: Any = SimpleNamespace(services=None, append_log=None, replicas={}, offsets_of=lambda wrote: (0, 0))
    waits = Waits(replication)
    patient = [begin(waits) for _ in range(SWEEP_FLOOR // 2)]
    for _ in range(10 * SWEEP_FLOOR):
        begin(waits).waiter = None  # its time is up
        assert len(waits.waits) <= 2 * SWEEP_FLOOR
    assert [wait.session for wait in waits.waits[: len(patient)]] == patient
