"""Requests: bytes to argument vectors, for multibulk (RESP) and inline commands.

Owns the framing rules of Redis's request protocol and nothing of what a command means. No sockets, no sessions: bytes
go in through `feed`, argument vectors come out of `take`, in any split of the input and in linear time.

A pipeline is parsed before its first command runs, so limits and errors are judged when that command's turn comes:
`take` stops at the first bad byte and leaves the reason in `error`; what came before it is handed out first. Before
authentication the limits are smaller and an AUTH in the same packet lifts them, so `take` goes no further than to that
then.

Two ways through the same grammar. `split_run` splits up to 64 KiB on CRLF and compares every piece's length with its
declared header: that check is what makes splitting safe, since a value may contain CRLF, and it lets whole columns of a
run of commands of one shape be checked at C speed. Packets of different commands that come again and again are checked
at once, too (protocol.patterns). Whatever it does not recognise is left, untouched, to the incremental parser, which
alone decides what is legal. A declared length is never trusted and never skipped.
"""

from __future__ import annotations

from collections import deque
from itertools import chain

from protocol.encoder import BULK, header_of
from storage.numeric import parse_int
from storage.text import UnbalancedQuotes, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Deque, Iterator, List, Sequence, Union

    from protocol.patterns import Key, Patterns

    Vector = Sequence[bytes]
    Vectors = Union[List[Vector], "Run"]

CRLF = b"\r\n"
MAX_INLINE_BYTES = 64 * 1024  # as in Redis; a longer line is a confused or hostile client
MAX_ARGUMENTS = 2**31 - 1  # as in Redis: the count must fit an int
MAX_BULK_BYTES = 512 * 1024 * 1024  # default of proto-max-bulk-len
MAX_ANONYMOUS_ARGUMENTS = 10  # before authentication, as in Redis
MAX_ANONYMOUS_BULK_BYTES = 16 * 1024
MAX_ANONYMOUS_VECTORS = 16  # at a time: for a stranger nobody waits long
LIFT_LIMITS = (b"auth", b"hello", b"reset")  # commands after which a client may be anonymous no more
SPLIT_BYTES = 64 * 1024  # more pieces at a time leave the caches
MIN_RUN = 3  # columns pay from three commands on where they are all there is,
MIN_REPEATED_LINES = 256  # of a packet that may be few commands many times: bulk loads are
MAX_PERIOD = 12  # commands
LONG_RUN = 12  # and from here on among others
MAX_FAST_ARGUMENTS = 1024
MANY_ARGUMENTS = 16  # of a command that does not stand whole in the input: from here on they are split
BLANK_BYTES = 1024  # of lines without a word, looked over at once
MAX_SLOW_VECTORS = 1000  # one by one and the shortest lines, 64 KiB of them would take a quarter of a second
MAX_LINES_BYTES = 4096  # as much of them as is split at once
MAX_LINES = 64  # each takes two microseconds to run, and nothing is gained by more of them
REWIND_BYTES = 1024  # an incomplete command shorter than this is parsed again from its start
READ_BYTES = 64 * 1024  # of input at once: what is split at once
BULK_READ_BYTES = 256 * 1024  # within a large bulk string: values of 1 MB cost two thirds
WHOLE_BULK_BYTES = 32 * 1024  # a bulk string from here on is collected in a buffer of its own

ARGUMENT_COUNT = {b"*%d" % count: count for count in range(1, MAX_FAST_ARGUMENTS)}
STRIDES = {head: 2 * count + 1 for head, count in ARGUMENT_COUNT.items()}  # lines of a command


class Run:
    """Several vectors of one width, still in columns: column 0 holds their names, column 1 their first arguments.

    Iterating yields the vectors. A pipeline is most often one command many times, and who can use a whole column at
    once need not take it apart. `source` is the input they were made of, which has the one form that encoders write.
    """

    __slots__ = ("columns", "source")

    def __init__(self, columns: List[List[bytes]], source: bytes) -> None:
        self.columns = columns
        self.source = source

    def __iter__(self) -> Iterator[Vector]:
        return zip(*self.columns)

    def __len__(self) -> int:
        return len(self.columns[0])


class RequestParser:
    """One connection's input. `feed` bytes, `take` vectors; after the last vector look at `error`."""

    __slots__ = (
        "anonymous",
        "patterns",
        "max_bulk_bytes",
        "error",
        "has_input",
        "room",
        "_chunk",
        "_later",
        "_later_bytes",
        "_rest",
        "_searched",
        "_missing",
        "_is_even",
        "_arguments",
        "_argument_bytes",
        "_bulk_length",
        "_bulk",
    )

    def __init__(
        self, max_bulk_bytes: int = MAX_BULK_BYTES, anonymous: bool = False, patterns: Patterns | None = None
    ) -> None:
        self.anonymous = anonymous
        self.patterns = patterns  # of what comes again, shared by all connections; None knows none and learns none
        self.max_bulk_bytes = max_bulk_bytes
        self.error: bytes | None = None
        self.has_input = False  # `take` may find something more
        self.room = READ_BYTES  # as much input is worth reading at once
        self._chunk = b""  # input that starts at a command, not yet looked at
        self._later: Deque[bytes] | None = None  # more of it, when a client sends on that may not run
        self._later_bytes = 0
        self._rest: bytearray | None = None  # input the incremental parser has begun
        self._searched = 0  # how far _rest has been searched for a line end
        self._missing = 0  # arguments that the command under way still lacks
        self._is_even = True  # none of them so far had a line end inside
        self._arguments: List[bytes] = []
        self._argument_bytes = 0
        self._bulk_length = -1  # declared length of the bulk string under way, or -1
        self._bulk: bytearray | None = None  # a large bulk string under way, with its final CRLF

    def feed(self, data: bytes) -> None:
        """Append input. Amortised O(len(data))."""
        self.has_input = True
        if not self._chunk and self._rest is None and self._bulk is None:
            self._chunk = data
        elif self._later is None and self._is_short():
            self._append(data)
        else:
            # Joined with the rest, 40 MB from a client that was blocked cost 5 s, 400 MB a hundred times as much.
            if self._later is None:
                self._later = deque()
            self._later.append(data)
            self._later_bytes += len(data)

    def _is_short(self) -> bool:
        """Whether there is less input at hand than `take` could need for something whole."""
        return len(self._chunk) <= SPLIT_BYTES and (self._rest is None or len(self._rest) <= SPLIT_BYTES)

    def _refill(self) -> None:
        """Go on to what came later."""
        while self._later is not None and self._is_short():
            data = self._later.popleft()
            self._later_bytes -= len(data)
            if not self._later:
                self._later = None
            self._append(data)

    def _append(self, data: bytes) -> None:
        """Join input to what is at hand."""
        if self._bulk is not None:
            room = self._bulk_length + 2 - len(self._bulk)
            if len(data) <= room:
                self._bulk += data
                return
            self._bulk += data[:room]
            data = data[room:]
        if self._rest is not None:
            self._rest += data
        else:
            self._chunk += data

    def discard(self) -> None:
        """Drop all input held; for a connection that will close."""
        self._forget()
        self._chunk = b""
        self._later = None
        self._later_bytes = 0
        self.has_input = False

    def unread(self) -> bytes:
        """The input that no argument has been made of; for the log, after an error."""
        return bytes(self._rest or b"") + self._chunk + b"".join(self._later or ())

    def pending_bytes(self) -> int:
        """Bytes held that no vector has been made of."""
        held = len(self._chunk) + self._later_bytes + self._argument_bytes
        if self._rest is not None:
            held += len(self._rest)
        if self._bulk is not None:
            held += len(self._bulk)
        return held

    def expected_bytes(self) -> int:
        """What has been declared of the large bulk string under way, 0 if there is none."""
        return self._bulk_length + 2 if self._bulk_length >= WHOLE_BULK_BYTES else 0

    def take(self) -> Vectors:
        """Some of the complete vectors in order, at most about 64 KiB of them; empty when none is complete.

        A list, or a `Run` if all are of one width.
        """
        if self.error is not None:
            return []
        if self._rest is None and not self.anonymous:
            chunk = self._chunk
            if not chunk:
                self.has_input = False
                return []
            if len(chunk) <= SPLIT_BYTES:
                vectors, used = split_run(chunk, self.patterns)
                if used == len(chunk):
                    self._chunk = b""
                    self.has_input = False
                    return vectors
            else:
                vectors, used = split_run(chunk[:SPLIT_BYTES], self.patterns)
            if not used and chunk[0] != 42:  # "*"
                vectors, used = split_lines(chunk[:MAX_LINES_BYTES])
            if used:
                self._chunk = chunk[used:]
                if self._later is not None:
                    self._refill()
                self.has_input = bool(self._chunk)
                return vectors
        vectors = self._take_slowly()
        while self._later is not None and self.error is None:
            self._refill()
            if vectors:
                break
            vectors = self._take_slowly()
        self.has_input = bool(vectors) and (bool(self._chunk) or self._rest is not None)
        return vectors

    # Incremental -----------------------------------------------------------------------------------------------

    def _take_slowly(self) -> List[Vector]:
        """The same by the incremental parser.

        A command that was under way is finished alone, for what follows it may split again; after a mismatch the
        chunk is finished here, since splitting it again and again would not be linear.
        """
        resumed = self._missing > 0
        if self._rest is None:
            if not self._chunk:
                return []
            self._rest = bytearray(self._chunk)
            self._searched = 0
        kept, self._chunk = self._chunk, b""
        vectors: List[Vector] = []
        position = 0
        rest = self._rest
        most = MAX_ANONYMOUS_VECTORS if self.anonymous else MAX_LINES if rest[:1] != b"*" else MAX_SLOW_VECTORS
        while position < SPLIT_BYTES or not vectors:
            position, vector = self._step(rest, position)
            if vector is None:
                break
            if vector:
                vectors.append(vector)
                if resumed or len(vectors) >= most or (self.anonymous and vector[0].lower() in LIFT_LIMITS):
                    break
        if not vectors and kept and len(kept) < REWIND_BYTES and self.error is None and position < len(kept):
            # A short beginning of a command, as each full receive buffer ends with: it splits with the next bytes.
            self._forget()
            self._chunk = kept
            return vectors
        del rest[:position]
        self._searched = max(0, self._searched - position)
        # Lines of words would not split either: they stay here, or each thousand of them would be split in vain.
        if self._missing == 0 and (vectors or not rest) and (not rest or rest[0] == 42):
            self._chunk = bytes(rest)
            self._rest = None
        return vectors

    def _forget(self) -> None:
        """Drop the command under way."""
        self._rest = None
        self._searched = 0
        self._missing = 0
        self._arguments = []
        self._argument_bytes = 0
        self._bulk_length = -1
        self._bulk = None
        self.room = READ_BYTES

    def _step(self, rest: bytearray, position: int) -> tuple[int, Vector | None]:
        """One vector from `rest[position:]`; [] for one to skip, None when more input is needed or on an error."""
        if self._missing == 0:
            if position >= len(rest):
                return position, None
            if rest[position] != 42:  # "*"
                return self._inline(rest, position)
            end = self._line_end(rest, position)
            if end < 0:
                if len(rest) - position > MAX_INLINE_BYTES:
                    self.error = b"too big mbulk count string"
                return position, None
            try:
                count = parse_int(bytes(rest[position + 1 : end]))
            except ValueError:
                count = MAX_ARGUMENTS + 1
            if count > MAX_ARGUMENTS:
                self.error = b"invalid multibulk length"
                return position, None
            if self.anonymous and count > MAX_ANONYMOUS_ARGUMENTS:
                self.error = b"unauthenticated multibulk length"
                return position, None
            position = end + 2
            self._searched = position
            if count <= 0:
                return position, ()
            self._missing = count
            self._is_even = True
            self._arguments = []
            self._argument_bytes = 0
        while self._missing:
            if self._bulk_length < 0:
                if self._missing >= MANY_ARGUMENTS and self._is_even:
                    position = self._split_arguments(rest, position)
                    if not self._missing:
                        break
                end = self._line_end(rest, position)
                if end < 0:
                    if len(rest) - position > MAX_INLINE_BYTES:
                        self.error = b"too big bulk count string"
                    return position, None
                if rest[position] != 36:  # "$"
                    self.error = b"expected '$', got '%c'" % rest[position]
                    return position, None
                try:
                    length = parse_int(bytes(rest[position + 1 : end]))
                except ValueError:
                    length = -1
                if not 0 <= length <= self.max_bulk_bytes:
                    self.error = b"invalid bulk length"
                    return position, None
                if self.anonymous and length > MAX_ANONYMOUS_BULK_BYTES:
                    self.error = b"unauthenticated bulk length"
                    return position, None
                position = end + 2
                self._searched = position
                self._bulk_length = length
            length = self._bulk_length
            if self._bulk is not None:
                if len(self._bulk) < length + 2:
                    return position, None
                del self._bulk[length:]
                self._arguments.append(bytes(self._bulk))
                self._bulk = None
                self.room = READ_BYTES
            elif len(rest) - position >= length + 2:
                self._arguments.append(bytes(rest[position : position + length]))
                position += length + 2
            elif length >= WHOLE_BULK_BYTES:
                # It grows as bytes arrive: whoever declares 512 MB and sends nothing gets no memory for it.
                self._bulk = rest[position:]
                self.room = BULK_READ_BYTES
                del rest[position:]
                return position, None
            else:
                return position, None
            self._searched = position
            self._argument_bytes += length
            self._bulk_length = -1
            self._missing -= 1
        vector = self._arguments
        self._arguments = []
        self._argument_bytes = 0
        return position, vector

    def _split_arguments(self, rest: bytearray, position: int) -> int:
        """Take what stands whole of a command's many arguments, as `split_run` would; where the rest of them begins.

        One of a million arguments, 0.6 -> 0.1 us.
        """
        pieces = bytes(rest[position : position + SPLIT_BYTES]).split(CRLF)
        count = min(self._missing, (len(pieces) - 1) // 2)
        headers = pieces[: 2 * count : 2]
        arguments = pieces[1 : 2 * count : 2]
        due = list(map(header_of, map(len, arguments)))
        if due != headers:
            self._is_even = False
            count = next(place for place in range(count) if due[place] != headers[place])
            del headers[count:], arguments[count:]
        size = sum(map(len, arguments))
        self._arguments += arguments
        self._argument_bytes += size
        self._missing -= count
        position += size + sum(map(len, headers)) + 2 * len(CRLF) * count
        self._searched = position
        return position

    def _line_end(self, rest: bytearray, position: int) -> int:
        """Where the CR of the line at `position` stands once the byte after it is there too, else -1."""
        end = rest.find(b"\r", max(position, self._searched))
        if end < 0:
            self._searched = len(rest)
            return -1
        self._searched = end
        if end + 2 > len(rest) or rest.find(b"\0", position, end) >= 0:
            return -1  # a header is C text: nothing is found behind a NUL
        return end

    def _inline(self, rest: bytearray, position: int) -> tuple[int, Vector | None]:
        """One line of words with Redis's quoting."""
        end = rest.find(b"\n", max(position, self._searched))
        if end < 0 or rest.find(b"\0", position, end) >= 0:  # a line is C text, too
            self._searched = len(rest) if end < 0 else end
            if len(rest) - position > MAX_INLINE_BYTES:
                self.error = b"too big inline request"
            return position, None
        line = bytes(rest[position:end])
        if line.endswith(b"\r"):
            line = line[:-1]
        try:
            words = split_arguments(line)
        except UnbalancedQuotes:
            self.error = b"unbalanced quotes in request"
            return position, None
        position = end + 1
        if not words:  # and so are the lines behind it that have none, a thousand at once
            ahead = rest[position : position + BLANK_BYTES]
            position = rest.rfind(b"\n", position - 1, position + len(ahead) - len(ahead.lstrip())) + 1
        self._searched = position
        return position, words


def split_run(data: bytes, patterns: Patterns | None = None) -> tuple[Vectors, int]:
    """The whole vectors that `data` starts with, and the bytes they take, as far as they are plainly legal.

    Stops without harm before whatever it does not recognise: another form of header, an inline command, a value with
    CRLF inside. One three-argument command costs 0.8 us, in a run of commands of one shape 0.4 us each.
    """
    pieces = data.split(CRLF)
    tail = pieces.pop()  # the beginning of something incomplete, or nothing
    total = len(pieces)
    if total == 2 * ARGUMENT_COUNT.get(pieces[0] if pieces else tail, -1) + 1:
        # One command, as without pipelining. Its own path: 1.0 -> 0.7 us.
        arguments = pieces[2::2]
        if list(map(header_of, map(len, arguments))) == pieces[1::2]:
            return [arguments], len(data) - len(tail)
        return [], 0
    if not total:
        return [], 0
    head = pieces[0]
    unknown = total + 1  # lines of a command that is not one
    stride = STRIDES.get(head, unknown)
    if stride + 2 < total and pieces[stride] == head and pieces[stride + 2] == pieces[2]:
        run = _run_length(pieces, 0, stride)
        cut = pieces[run * stride :] if run else pieces
        if run and (not cut or len(cut) < 2 * ARGUMENT_COUNT.get(cut[0], 0) + 1):
            # One command many times, and perhaps one more that the end of the buffer cut in two.
            columns = _columns(pieces, 0, stride, run)
            if columns is None:
                return _split_one_by_one(pieces)
            used = len(data) - len(tail) - sum(map(len, cut)) - 2 * len(cut)
            return Run(columns, data[:used]), used
    if patterns is not None and total in patterns:
        for place, line, pattern in patterns[total]:
            if pieces[place] == line:
                known = pattern.take(pieces)
                if known is not None:
                    return known, len(data) - len(tail)
    if patterns is not None and total >= MIN_REPEATED_LINES:
        key = _period(pieces)
        repeated = patterns.take_repeated(pieces, key) if key is not None else None
        if repeated is not None:
            taken, start = repeated
            return taken, sum(map(len, pieces[:start])) + 2 * start
    start = 0
    look_again = 0
    vectors: List[Vector] = []
    unproved: List[Vector] = []  # those behind them, whose lengths stand in `headers` and are not yet compared
    headers: List[bytes] = []
    stride_of = STRIDES.get
    while start < total:
        head = pieces[start]
        stride = stride_of(head, unknown)
        stop = start + stride
        if stop > total:
            break
        if stop < total and pieces[stop] == head and start >= look_again:
            run = _run_length(pieces, start, stride)
            look_again = start + LONG_RUN * stride
            if run:
                columns = _columns(pieces, start, stride, run)
                if columns is None or (unproved and not _fit(unproved, headers)):
                    return _split_one_by_one(pieces)
                start += run * stride
                vectors += unproved
                vectors += zip(*columns)
                unproved = []
                headers = []
                continue
        unproved.append(pieces[start + 2 : stop : 2])
        headers += pieces[start + 1 : stop : 2]
        start = stop
    # One comparison for all of them: MULTI, SET, GET and EXEC, 2.6 -> 1.3 us.
    if not _fit(unproved, headers):
        return _split_one_by_one(pieces)
    vectors = vectors + unproved if vectors else unproved
    if start == total:
        used = len(data) - len(tail) if vectors else 0
        if patterns is not None:
            patterns.note(vectors, total)
    else:
        used = sum(map(len, pieces[:start])) + 2 * start
    return vectors, used


def split_lines(data: bytes) -> tuple[List[Vector], int]:
    """The vectors of whole lines of words, where nothing in them is quoted, and the bytes they take; else none.

    A PING, 1.5 -> 0.6 us.
    """
    lines = data.split(b"\n", MAX_LINES)
    used = len(data) - len(lines.pop())
    taken = data[:used]
    if b"\n*" in taken or b'"' in taken or b"'" in taken or b"\0" in taken:
        return [], 0
    vectors: List[Vector] = list(filter(None, map(bytes.split, lines)))
    return vectors, used if vectors else 0


def _fit(vectors: List[Vector], headers: List[bytes]) -> bool:
    """Whether arguments are as long as their headers say."""
    return list(map(header_of, map(len, chain.from_iterable(vectors)))) == headers


def _split_one_by_one(pieces: List[bytes]) -> tuple[List[Vector], int]:
    """`split_run` where some length differs: the vectors before the first such one."""
    start = 0
    total = len(pieces)
    vectors: List[Vector] = []
    while start < total:
        stop = start + 2 * ARGUMENT_COUNT.get(pieces[start], total) + 1
        arguments = pieces[start + 2 : stop : 2]
        if stop > total or list(map(header_of, map(len, arguments))) != pieces[start + 1 : stop : 2]:
            break
        vectors.append(arguments)
        start = stop
    return vectors, sum(map(len, pieces[:start])) + 2 * start


def _period(pieces: List[bytes]) -> Key | None:
    """The names and widths of the few commands that a large packet begins with again and again, to all appearances."""
    first, name = pieces[0], pieces[2]
    names: List[bytes] = []
    widths: List[int] = []
    start = 0
    for _ in range(MAX_PERIOD):
        width = ARGUMENT_COUNT.get(pieces[start], 0)
        stop = start + 2 * width + 1
        if not width or 2 * stop + 2 >= len(pieces):
            return None
        names.append(pieces[start + 2])
        widths.append(width)
        if pieces[stop] == pieces[2 * stop] == first and pieces[stop + 2] == pieces[2 * stop + 2] == name:
            return tuple(names), tuple(widths)
        start = stop
    return None


def _run_length(pieces: List[bytes], start: int, stride: int) -> int:
    """How many commands of one shape follow one another from `start`; 0 where columns would not pay."""
    head = pieces[start]
    rest = (len(pieces) - start) // stride
    if start == 0 and rest * stride == len(pieces) and pieces[::stride].count(head) == rest >= MIN_RUN:
        return rest  # all of them
    run = min(rest, LONG_RUN)
    if run < LONG_RUN or pieces[start : start + run * stride : stride].count(head) != run:
        return 0
    while run < rest:
        # Twice as far each time: looking ahead costs no more than what is gained, however the shapes change.
        run = min(rest, 2 * run)
        heads = pieces[start : start + run * stride : stride]
        if heads.count(head) != run:
            return next(place for place, other in enumerate(heads) if other != head)
    return run


def _columns(pieces: List[bytes], start: int, stride: int, run: int) -> List[List[bytes]] | None:
    """The arguments of `run` commands of one shape, one list a position; None if a length differs anywhere."""
    stop = start + run * stride
    columns = []
    for offset in range(1, stride, 2):
        headers = pieces[start + offset : stop : stride]
        column = pieces[start + offset + 1 : stop : stride]
        lengths = list(map(len, column))
        length = lengths[0]
        if lengths.count(length) == run:
            if headers.count(BULK[length]) != run:
                return None
        elif list(map(header_of, lengths)) != headers:
            return None
        columns.append(column)
    return columns
