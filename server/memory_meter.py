"""How much memory the process uses: asked for, never counted along.

`used_bytes` follows each write and each deletion without costing the hot path anything: it adds up what the
interpreter's allocators say is in use. CPython knows its small blocks (up to 512 bytes) by their sizes, in the report
that it writes for who debugs it; glibc knows the larger ones. Both are exact: over a million keys of each type the sum
stays within a few percent of what resident memory grows by (scripts/bench_memory.py). Asking costs 0.1 ms, and up to
0.5 ms with a million keys. Where the report cannot be had, blocks are counted as 64 bytes each. Where neither allocator
can be asked (PyPy, other C libraries) the keys are estimated by their types and sizes, on top of what there was at the
start: resident memory does not shrink there when keys go, and nobody could tell when enough of them are gone.

glibc walks over every hole in its heap to answer: with half a million values of 600 bytes deleted among others that is
60 ms. So a measurement that took long is not repeated for a thousand times as long; until then samples of the keys tell
by how much they have grown or shrunk since.

Must not know keys: MEMORY USAGE is `storage.sizes`.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter_ns, thread_time_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

BLOCK_BYTES = 64  # over a million small strings; the mean of other data sets is between 45 and 100
EMPTY_HEAP_BYTES = 5 << 20  # what is in larger blocks before the first command
LONG_NS = 1_000_000
SELDOM = 1000  # times as long as a measurement took, nobody waits for another one
SELDOM_WITHOUT_SAMPLES = 100
HOLES = 1500  # known to have been made: measuring would take long already
HOLE_NS = 150
REPORT_BYTES = 16 * 1024  # it is 3 kB long
IN_BLOCKS = b"# bytes in allocated blocks"  # a line of CPython's report since 3.3


class MemoryMeter:
    """Bytes in use, resident, and their peak as far as anybody looked."""

    __slots__ = (
        "startup_bytes",
        "peak_bytes",
        "estimate",
        "sampled",
        "holes",
        "_heap_bytes",
        "_block_bytes",
        "_is_asked",
        "_heap",
        "_sampled_then",
        "_holes_heeded",
        "_heap_until_ns",
    )

    def __init__(self) -> None:
        blocks = getattr(sys, "getallocatedblocks", None)
        # The heap is not asked yet: loading ctypes costs 10 ms of the start.
        self.startup_bytes = blocks() * BLOCK_BYTES + EMPTY_HEAP_BYTES if blocks else resident_bytes()
        self.peak_bytes = self.startup_bytes
        self.estimate: Optional[Callable[[], int]] = None  # of the keys, where nothing can be asked: see MemoryPolicy
        self.sampled: Optional[Callable[[], int]] = None  # about what the keys take of malloc's memory: MemoryPolicy
        self.holes = 0  # made in the heap since it was measured, as far as is known
        self._heap = 0
        self._sampled_then = 0
        self._holes_heeded = HOLES
        self._heap_until_ns = 0
        self._heap_bytes: Optional[Callable[[], int]] = None
        self._block_bytes: Callable[[], int] = counted_blocks
        self._is_asked = False

    def used_bytes(self) -> int:
        """Memory in use now; what was freed is not in it, whether or not the system got it back."""
        if not self._is_asked:
            self._is_asked = True
            if hasattr(sys, "getallocatedblocks"):
                self._heap_bytes = find_heap_counter()
                if self._heap_bytes is not None:
                    self._block_bytes = find_block_meter() or counted_blocks
        if self._heap_bytes is None:
            used = self.startup_bytes + self.estimate() if self.estimate is not None else resident_bytes()
        else:
            used = self._block_bytes() + self.heap_bytes(self._heap_bytes)
        if used > self.peak_bytes:
            self.peak_bytes = used
        return used

    def heap_bytes(self, ask: Callable[[], int]) -> int:
        """What malloc has handed out: measured, or guessed while measuring takes too long."""
        now_ns = perf_counter_ns()
        if self.holes > self._holes_heeded:
            self._holes_heeded = 2 * self.holes
            self.put_off(now_ns, self.holes * HOLE_NS)
        if now_ns < self._heap_until_ns:
            if self.sampled is None:
                return self._heap
            return max(0, self._heap + self.sampled() - self._sampled_then)
        before_ns = thread_time_ns()  # not the clock on the wall: other processes may have run meanwhile
        self._heap = ask()
        self.holes = 0
        self._holes_heeded = HOLES
        took_ns = thread_time_ns() - before_ns
        if took_ns > LONG_NS:
            self.put_off(now_ns, took_ns)
        if self.sampled is not None:
            self._sampled_then = self.sampled()
        return self._heap

    def go_by_samples(self, sampled: Optional[Callable[[], int]]) -> None:
        """Know, or do not know any more, who can guess what the keys take; unused where they are estimated anyway."""
        if not hasattr(sys, "getallocatedblocks"):
            return
        if self.sampled is None and sampled is not None:
            self._sampled_then = sampled()
        self.sampled = sampled

    def put_off(self, now_ns: int, takes_ns: int) -> None:
        """Do not measure for long, as measuring takes so long."""
        seldom = SELDOM if self.sampled is not None else SELDOM_WITHOUT_SAMPLES
        self._heap_until_ns = max(self._heap_until_ns, now_ns + seldom * takes_ns)


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


def counted_blocks() -> int:
    """The bytes in the interpreter's small blocks, by their number."""
    return sys.getallocatedblocks() * BLOCK_BYTES


def find_block_meter() -> Optional[Callable[[], int]]:
    """A function that returns the bytes in the interpreter's small blocks, by its own report; None without one."""
    try:
        import ctypes

        library = ctypes.CDLL(None)
        report = ctypes.pythonapi._PyObject_DebugMallocStats
        library.fmemopen.restype = ctypes.c_void_p
        library.fmemopen.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
        flush, rewind = library.fflush, library.rewind
        flush.argtypes = rewind.argtypes = report.argtypes = [ctypes.c_void_p]
        text = ctypes.create_string_buffer(REPORT_BYTES)
        stream = library.fmemopen(text, REPORT_BYTES, b"w")  # one for all reports: nothing is allocated to measure
    except (ImportError, OSError, AttributeError):
        return None
    if not stream:
        return None

    def block_bytes() -> int:
        rewind(stream)
        report(stream)
        flush(stream)
        line = text.raw.partition(IN_BLOCKS)[2].partition(b"\n")[0]
        figure = line.replace(b",", b"").strip(b" =")
        # Another allocator than the usual one (PYTHONMALLOC) reports nothing.
        return int(figure) if figure.isdigit() else counted_blocks()

    return block_bytes


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
