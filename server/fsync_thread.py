"""The one background thread: it syncs what the log has written, so that the loop need not wait for the disk.

Started at the first request; where there can be none, a request is served at once. Each request brings a descriptor
of its own, closed here when it is done; its end is told through a pipe that the loop watches. The thread touches
nothing else.
"""

from __future__ import annotations

import os
import sys

from server.disk import sync_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Tuple


class FsyncThread:
    """Syncs one descriptor after the other. `is_busy` until the loop has heard of the last one."""

    __slots__ = ("is_busy", "_watch", "_on_done", "_requests", "_results", "_signal", "_receiver", "_sender")

    def __init__(self, watch: Callable[[Any, Callable[[], None]], None], on_done: Callable[[int, int], None]) -> None:
        """`on_done(offset, errno)` is called in the loop for each request."""
        self.is_busy = False
        self._watch = watch
        self._on_done = on_done
        self._requests: List[Tuple[int, int]] = []
        self._results: List[Tuple[int, int]] = []
        self._signal: Any = None
        self._receiver = self._sender = -1

    def request(self, descriptor: int, offset: int) -> None:
        """Sync and close `descriptor`; `offset` says what is safe then."""
        self.is_busy = True
        self._requests.append((descriptor, offset))
        if self._signal is None and not self._start():
            self._work_off()
            self._results, results = [], self._results
            self.is_busy = False
            for result in results:
                self._on_done(*result)
            return
        self._signal.release()

    def _start(self) -> bool:
        """Start the thread, when it is first needed; False where there can be none, and everybody waits for a sync."""
        if sys.platform == "win32":
            # No pipe can be watched there, and a file that a thread has open can be neither renamed nor deleted.
            return False
        import _thread

        try:
            self._receiver, self._sender = os.pipe()
        except OSError:
            return False  # no descriptors are left: tried again with the next request
        self._signal = _Gate(_thread.allocate_lock)
        os.set_blocking(self._receiver, False)
        os.set_blocking(self._sender, False)
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:
            self._signal = None
            os.close(self._receiver)
            os.close(self._sender)
            return False
        self._watch(self._receiver, self.receive)
        return True

    def _run(self) -> None:
        while True:
            self._signal.wait()
            self._work_off()
            try:
                os.write(self._sender, b".")
            except OSError:
                pass

    def _work_off(self) -> None:
        while self._requests:
            descriptor, offset = self._requests.pop(0)
            number = 0
            try:
                sync_data(descriptor)
            except OSError as error:
                number = error.errno or 5
            try:
                os.close(descriptor)
            except OSError:
                pass
            self._results.append((offset, number))

    def receive(self) -> None:
        """The loop hears that something is done."""
        try:
            os.read(self._receiver, 4096)
        except OSError:
            pass
        while self._results:
            result = self._results.pop(0)
            self.is_busy = bool(self._requests or self._results)
            self._on_done(*result)


class _Gate:
    """A lock used as a signal that is not lost: opened as often as one likes, passed once."""

    __slots__ = ("lock",)

    def __init__(self, allocate: Callable[[], Any]) -> None:
        self.lock = allocate()
        self.lock.acquire()

    def release(self) -> None:
        try:
            self.lock.release()
        except RuntimeError:
            pass  # open already: the thread has not come by yet and will see every request when it does

    def wait(self) -> None:
        self.lock.acquire()
