"""A snapshot for replicas that cannot be begun."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any

from server.replication.full_sync import SYNC_FAILED, FullSync
from server.replication.replica import WAITS_START


class Client:
    """A session that remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.send_encoded = self.sent.append

    def close_after_reply(self) -> None:
        self.sent.append("closed")


def test_without_descriptors_for_its_pipe_replicas_are_told_that_there_is_no_snapshot(monkeypatch):
    """They waited, and the log had a fault of the loop each second."""

    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    said: list[str] = []
    session: Any = Client()
    replica: Any = SimpleNamespace(session=session, state=WAITS_START, filter=0)
    primary: Any = SimpleNamespace(
        services=None,
        config=None,
        log=SimpleNamespace(notice=said.append, warning=said.append),
        replicas={session: replica},
        feed=SimpleNamespace(flush=lambda: None),
        replication=SimpleNamespace(snapshot_facts=lambda: (0, b"", 0)),
    )
    full_sync = FullSync(primary)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", refuse)
        full_sync.begin([replica], True)
    assert session.sent == [SYNC_FAILED, "closed"]
    assert said[1:] == [
        "Can't open the pipe for a snapshot to replicas: Too many open files",
        "BGSAVE for replication failed",
    ]
    assert full_sync.pipe == -1 and not full_sync.group
