"""What the child of a full synchronisation to sockets does: the snapshot into a pipe, and the mark that ends it.

A replica may have asked for a part of the data only (REPLCONF rdb-filter-only).
"""

from __future__ import annotations

import os
from time import time

from server.disk import write_all
from server.replication.replica import FILTER_DATA, FILTER_FUNCTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Tuple

    from server.children import Progress
    from server.services import Services

    Facts = Tuple[int, bytes, int]  # the stream's database, the history's ID and offset


def write_to_pipe(
    services: Services, progress: Progress, facts: Facts, left_out: int, descriptor: int, mark: bytes
) -> None:
    """The snapshot, then the mark that says that it is whole.

    Not compressed whatever `rdbcompression` says, since a network is faster than compressing in Python: 200,000 values
    of 200 bytes that compress well took 6 s until they were loaded, and take 1 s. The child's
    configuration is its own.
    """
    services.config.rdbcompression = False
    services.persistence.snapshots.replication = lambda: facts
    with os.fdopen(descriptor, "wb", buffering=0) as pipe:
        write(services, pipe, progress, facts, left_out)
        write_all(pipe, mark)


def write(services: Services, file: Any, progress: Progress, facts: Facts, left_out: int) -> None:
    """The whole data set or a part of it, in the child or where there is none."""
    snapshots = services.persistence.snapshots
    if not left_out:
        snapshots.write(file, progress, limit_sync=False)
        return
    from server.version import REDIS_VERSION
    from storage.rdb.writer import SnapshotWriter, aux_fields, needed_version

    config = services.config
    databases = [] if left_out & FILTER_DATA else services.keyspace.databases
    functions = () if left_out & FILTER_FUNCTIONS else snapshots.functions()
    version = needed_version(databases, config.rdb_target_version)
    writer = SnapshotWriter(services.keyspace.limits, version, config.rdbcompression, config.rdbchecksum)
    aux = aux_fields(REDIS_VERSION.encode(), int(time()), services.info.memory.used_bytes(), False, facts)
    for piece in writer.pieces(databases, aux, functions, snapshots.age()):
        write_all(file, piece)
        progress.report(writer.keys_written)
