"""Syncing as each system wants it."""

from __future__ import annotations

import importlib
import os
import sys
from types import SimpleNamespace

import pytest

from server import disk


def test_macos_is_asked_to_empty_the_drives_cache_too(monkeypatch, tmp_path):
    asked = []
    refuses = []

    def control(descriptor, request):
        asked.append((descriptor, request))
        if refuses:
            raise OSError("not here")

    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        patch.setitem(sys.modules, "fcntl", SimpleNamespace(fcntl=control, F_FULLFSYNC=51))
        macos = importlib.util.module_from_spec(disk.__spec__)
        disk.__spec__.loader.exec_module(macos)
    with open(tmp_path / "file", "wb") as file:
        macos.sync(file.fileno())
        refuses.append(True)
        macos.sync_data(file.fileno())
        assert asked == [(file.fileno(), 51)] * 2
    with pytest.raises(OSError):
        macos.sync(file_that_is_closed(tmp_path))


def file_that_is_closed(folder) -> int:
    descriptor = os.open(folder / "file", os.O_RDONLY)
    os.close(descriptor)
    return descriptor
