"""Syncing as each system wants it, and files that take another one's place."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from types import SimpleNamespace

import pytest

from server import disk
from server.acl.files import write_users
from server.fsync_thread import FsyncThread


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


@pytest.mark.parametrize(
    "step, function",
    [
        (disk.OPEN, "open"),
        (disk.WRITE, "fchmod"),
        (disk.SYNC, "fsync"),
        (disk.RENAME, "replace"),
        (disk.SYNC_DIRECTORY, None),
    ],
)
def test_a_file_is_replaced_whole_or_stays_and_the_step_that_failed_is_told(monkeypatch, tmp_path, step, function):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    done = []

    def follow(name):
        original = getattr(os, name)

        def step_taken(*arguments):
            done.append(name)
            if name == function or (function is None and done.count("open") == 2):
                raise OSError(5, "Input/output error")
            return original(*arguments)

        monkeypatch.setattr(os, name, step_taken)
        if name == "fsync":
            monkeypatch.setattr(disk, "sync", step_taken)

    for name in ("open", "fchmod", "fsync", "replace"):
        follow(name)
    with pytest.raises(disk.ReplaceFailure, match="Input/output error") as failed:
        disk.replace_file(
            os.fsencode(target), os.fsencode(tmp_path / "beside"), lambda file: file.write(b"new"), 0o640
        )
    assert (failed.value.step, failed.value.errno) == (step, 5)
    assert target.read_bytes() == (b"new" if function is None else b"old")
    assert os.listdir(tmp_path) == ["file"]
    assert done == ["open", "fchmod", "fsync", "replace", "open"][: len(done)]


@pytest.mark.parametrize("number, matters", [(errno.EINVAL, False), (errno.EBADF, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_directories_fails_no_save(monkeypatch, tmp_path, number, matters):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk, "sync", refuse)
    if matters:
        with pytest.raises(OSError):
            disk.sync_directory(tmp_path)
    else:
        disk.sync_directory(tmp_path)


def test_acl_save_syncs_the_directory_of_its_file(monkeypatch, tmp_path):
    synced = []
    monkeypatch.setattr(disk, "sync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    path = tmp_path / "users.acl"
    write_users(os.fsencode(path), [b"user default on nopass", b"user alice off"])
    assert path.read_bytes() == b"user default on nopass\nuser alice off\n"
    assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]


def test_without_descriptors_for_its_thread_the_log_is_synced_all_the_same(monkeypatch, tmp_path):
    def refuse():
        raise OSError(errno.EMFILE, "Too many open files")

    done = []
    thread = FsyncThread(lambda descriptor, call: None, lambda offset, number: done.append((offset, number)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", refuse)
        thread.request(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT), 7)
    assert done == [(7, 0)] and not thread.is_busy
