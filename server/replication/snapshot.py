"""What the child of a full synchronisation to sockets does: the snapshot into a pipe, and the mark that ends it.

A replica may have asked for a part of the data only (REPLCONF rdb-filter-only).
"""

from __future__ import annotations

import os

from server.disk import write_all
from server.replication.replica import FILTER_DATA, FILTER_FUNCTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Tuple

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
    with os.fdopen(descriptor, "wb", buffering=0) as pipe:
        write(services, pipe, progress, facts, left_out)
        write_all(pipe, mark)


def write(services: Services, file: BinaryIO, progress: Progress, facts: Facts, left_out: int) -> None:
    """The whole data set or a part of it, in the child or where there is none."""
    services.persistence.snapshots.write(
        file,
        progress,
        limit_sync=False,
        databases=[] if left_out & FILTER_DATA else None,
        functions=() if left_out & FILTER_FUNCTIONS else None,
        facts=facts,
    )
