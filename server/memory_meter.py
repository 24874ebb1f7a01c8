"""How much memory the process uses: asked for, never counted along.

`used_bytes` follows each write and each deletion without costing the hot path anything: it adds up what the
interpreter's allocators say is in use. CPython knows its small blocks (up to 512 bytes) by their sizes, in the report
that it writes for who debugs it; glibc knows the larger ones. Both are exact: over a million keys of each type the sum
stays within a few percent of what resident memory grows by (scripts/bench_memory.py). Asking costs 0.1 ms, and up to
0.5 ms with a million keys. Where the report cannot be had (Windows), blocks are counted as 64 bytes each; where
another C library tells nothing (macOS, Alpine), `server.heap_guess` guesses what malloc has handed out. With 50,000
keys of each type that is within 8 % of the process's growth, within 24 % where neither is known. Where there are no
blocks to ask for (PyPy) the keys are estimated by their types and sizes: resident memory does not shrink there when
keys go, and nobody could tell when enough of them are gone.

The program itself is not counted, as it is not where it is machine code: a `maxmemory` of 10 MB has room for 9 MB of
data, and an empty server uses 1 to 2 MB, as Redis does.

glibc walks over every free piece of its memory to answer: with half a million values of 600 bytes deleted among others
that is 60 ms. So it is not asked when that would probably take long; `server.heap_guess` knows, and guesses the answer.

Must not know keys: MEMORY USAGE is `storage.sizes`.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter_ns, thread_time_ns

from server.heap_guess import EMPTY_HEAP_BYTES, MAX_WALK_NS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from server.heap_guess import HeapGuess

STARTUP_BYTES = 1 << 20  # what an empty server is said to use
BLOCK_BYTES = 64  # over a million small strings; the mean of other data sets is between 45 and 100
LONG_NS = 500_000  # for a measurement: not so often then
SELDOM = 100  # times as long as it took, nobody waits for another one
REPORT_BYTES = 16 * 1024  # it is 3 kB long
# Another C library than glibc, or none that answers: on Windows one can be loaded by its name only (TypeError).
NOT_GLIBC = (ImportError, OSError, AttributeError, TypeError)
HAS_BLOCKS = hasattr(sys, "getallocatedblocks")  # CPython
IN_BLOCKS = b"# bytes in allocated blocks"  # a line of CPython's report since 3.3


class MemoryMeter:
    """Bytes in use, resident, and their peak as far as anybody looked."""

    __slots__ = (
        "startup_bytes",
        "program_bytes",
        "peak_bytes",
        "estimate",
        "guess",
        "_heap_bytes",
        "_block_bytes",
        "_is_asked",
        "_asked_again_ns",
    )

    def __init__(self) -> None:
        # The heap is not asked yet: loading ctypes costs 10 ms of the start.
        started_with = counted_blocks() + EMPTY_HEAP_BYTES if HAS_BLOCKS else resident_bytes()
        self.startup_bytes = min(STARTUP_BYTES, started_with)
        self.program_bytes = started_with - self.startup_bytes
        self.peak_bytes = self.startup_bytes
        self.estimate: Optional[Callable[[], int]] = None  # of the keys, where nothing can be asked: see MemoryPolicy
        self.guess: Optional[HeapGuess] = None  # of what malloc would say: see MemoryPolicy
        self._asked_again_ns = 0
        self._heap_bytes: Optional[Callable[[], tuple[int, int]]] = None
        self._block_bytes: Optional[Callable[[], int]] = None
        self._is_asked = False

    def used_bytes(self) -> int:
        """Memory in use now; what was freed is not in it, whether or not the system got it back."""
        if not self._is_asked:
            self._is_asked = True
            self._heap_bytes = find_heap_counter() if HAS_BLOCKS else None
            # Without any (PYTHONMALLOC=malloc) all is in the heap.
            if self._heap_bytes is not None or counted_blocks():
                self._block_bytes = find_block_meter() or counted_blocks
        if self._block_bytes is not None:
            used = self._block_bytes() + self.heap_bytes(self._block_bytes) - self.program_bytes
        else:
            used = self.startup_bytes
            used += self.estimate() if self.estimate is not None else resident_bytes() - self.program_bytes - used
        if used > self.peak_bytes:
            self.peak_bytes = used
        return used

    def leave_out(self, load: Callable[[], Any]) -> Any:
        """Run `load`, which brings in a part of the program: it is not counted, either. Returns what `load` does."""
        before = self.used_bytes()
        peak = self.peak_bytes
        loaded = load()
        self.program_bytes += max(0, self.used_bytes() - before)
        self.peak_bytes = peak
        return loaded

    def heap_bytes(self, block_bytes: Callable[[], int]) -> int:
        """What malloc has handed out: as it says, or guessed if it cannot say or asking would hold up everybody."""
        guess, ask = self.guess, self._heap_bytes
        if guess is None:
            return ask()[0] if ask is not None else EMPTY_HEAP_BYTES
        now_ns = perf_counter_ns()
        guess.follow(now_ns, ask is not None)
        if ask is None:
            return guess.heap_bytes() + guess.arriving
        if guess.walk_ns() > MAX_WALK_NS:
            # It cannot be more than is resident; less is what most figures are, as free pieces are resident, too.
            return min(guess.heap_bytes(), max(0, resident_bytes() - block_bytes()))
        if now_ns < self._asked_again_ns:
            return guess.heap_bytes()
        before_ns = thread_time_ns()  # not the clock on the wall: other processes may have run meanwhile
        total, free_pieces = ask()
        took_ns = thread_time_ns() - before_ns
        guess.learn(total, free_pieces, took_ns)
        if took_ns > LONG_NS:
            self._asked_again_ns = now_ns + SELDOM * took_ns
        return total


def find_heap_counter() -> Optional[Callable[[], tuple[int, int]]]:
    """A function that returns the bytes malloc has handed out and its free pieces, on glibc; None elsewhere."""
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
    except NOT_GLIBC:
        return None

    def heap_bytes() -> tuple[int, int]:
        information = ask()
        return int(information.uordblks + information.hblkhd), int(information.ordblks)

    return heap_bytes


def counted_blocks() -> int:
    """The bytes in the interpreter's small blocks, by their number; 0 where it has none or does not tell."""
    return sys.getallocatedblocks() * BLOCK_BYTES if HAS_BLOCKS else 0


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
    except NOT_GLIBC:
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
    """Resident memory of the process; the most there ever was where the system tells nothing better, 0 on Windows."""
    if sys.platform == "win32":
        return 0
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def total_bytes() -> int:
    """Physical memory of the machine, 0 if unknown."""
    if sys.platform == "win32":
        return 0
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
