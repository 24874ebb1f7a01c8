"""How much memory the process uses: asked for, never counted along.

`used_bytes` follows each write and each deletion without costing the hot path anything: it adds up what the
interpreter's allocators say is in use. CPython counts its small blocks (up to 512 bytes, 64 bytes on average over
data sets of small strings: resident memory grew by 64.3 bytes a block over a million keys), glibc knows the larger
ones exactly. Asking costs 0.05 ms for an empty server and 0.4 ms with a million keys. Where neither can be asked
(PyPy, other C libraries) the keys are estimated by their types and sizes, on top of what there was at the start:
resident memory does not shrink there when keys go, and nobody could tell when enough of them are gone.

Must not know keys: MEMORY USAGE is `storage.sizes`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

BLOCK_BYTES = 64
EMPTY_HEAP_BYTES = 3 << 20  # what is in larger blocks before the first command


class MemoryMeter:
    """Bytes in use, resident, and their peak as far as anybody looked."""

    __slots__ = ("startup_bytes", "peak_bytes", "estimate", "_heap_bytes", "_is_heap_known")

    def __init__(self) -> None:
        blocks = getattr(sys, "getallocatedblocks", None)
        # The heap is not asked yet: loading ctypes costs 10 ms of the start.
        self.startup_bytes = blocks() * BLOCK_BYTES + EMPTY_HEAP_BYTES if blocks else resident_bytes()
        self.peak_bytes = self.startup_bytes
        self.estimate: Optional[Callable[[], int]] = None  # of the keys, where nothing can be asked: see MemoryPolicy
        self._heap_bytes: Optional[Callable[[], int]] = None
        self._is_heap_known = False

    def used_bytes(self) -> int:
        """Memory in use now; what was freed is not in it, whether or not the system got it back."""
        if not self._is_heap_known:
            self._is_heap_known = True
            if hasattr(sys, "getallocatedblocks"):
                self._heap_bytes = find_heap_counter()
        if self._heap_bytes is None:
            used = self.startup_bytes + self.estimate() if self.estimate is not None else resident_bytes()
        else:
            used = sys.getallocatedblocks() * BLOCK_BYTES + self._heap_bytes()
        if used > self.peak_bytes:
            self.peak_bytes = used
        return used


def find_heap_counter() -> Optional[Callable[[], int]]:
    """A function that returns the bytes malloc has handed out, on glibc; None elsewhere."""
    try:
        import ctypes

        fields = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
        library = ctypes.CDLL(None)
        is_wide = hasattr(library, "mallinfo2")
        ask = library.mallinfo2 if is_wide else library.mallinfo  # before glibc 2.33: wraps at 4 GB
        kind: Any = ctypes.c_size_t if is_wide else ctypes.c_uint

        class Information(ctypes.Structure):
            _fields_ = [(name, kind) for name in fields]  # noqa: RUF012

        ask.restype = Information
    except (ImportError, OSError, AttributeError):
        return None

    def heap_bytes() -> int:
        information = ask()
        return int(information.uordblks + information.hblkhd)

    return heap_bytes


def resident_bytes() -> int:
    """Resident memory of the process; the most there ever was where the system tells nothing better."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def total_bytes() -> int:
    """Physical memory of the machine, 0 if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0
