"""Looking up a host while the server is short of something."""

from __future__ import annotations

import errno
import os
import socket

from server.resolving import look_up


def test_without_descriptors_a_name_is_not_found_and_whoever_asked_lives_on(monkeypatch):
    def fail():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socketpair", fail)
    answers = []
    look_up(None, "localhost", 6379, lambda places, error: answers.append((places, error)))
    look_up(None, "127.0.0.1", 6379, lambda places, error: answers.append((bool(places), error)))
    assert answers == [([], os.strerror(errno.EMFILE)), (True, "")]
