"""A conversation with the debugger: what a client orders while a script stands still, and what it is told.

Owns the lines that wait to be sent, the breakpoints, the script's text as lines, and the orders that need no look
inside the interpreter; those that do are handed to `debugger.lua`, which asks for them in `order`. Must not know
sessions, processes or the interpreter: it is given something that receives and sends bytes.

An order is an array of bulk strings. An answer is an array of status lines, one for everything said since the last.
"""

from __future__ import annotations

from time import monotonic

from storage.numeric import leading_int, parse_int
from storage.text import c_text, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Protocol, Sequence

    class Line(Protocol):
        """The client's end, blocking."""

        def receive(self) -> bytes:
            """Some bytes; none if the client is gone."""

        def send(self, data: bytes) -> None:
            """Send everything, or nothing if the client is gone."""


MAX_BREAKPOINTS = 64
MAX_WORDS = 1024  # of an order
MAX_WORD_BYTES = 1024
MAX_WAITING_BYTES = 1 << 20  # a client that sends more without an end of its order is confused
DEFAULT_MAX_LENGTH, LEAST_MAX_LENGTH = 256, 60  # of a value that is shown
SHOWN_WORDS = 10  # of a command that is shown
CONTEXT_LINES = 5
CLOCK_EVERY = 1000  # lines between two looks at the clock
PROTOCOL_ERROR = b"protocol error"
NO_SUCH_ORDER = b"<error> Unknown Redis Lua debugger command or wrong number of arguments."
HELP = (
    b"Redis Lua debugger help:",
    b"[h]elp               List these commands.",
    b"[s]tep               Go to the next line that runs.",
    b"[n]ext               The same as step.",
    b"[c]ontinue           Go on to a breakpoint, or to the end.",
    b"[l]ist               The source around the line that runs next.",
    b"[l]ist [line]        The source around a line;",
    b"                     0 is the one that runs next.",
    b"[l]ist [line] [ctx]  The same with so many lines before it",
    b"                     and behind.",
    b"[w]hole              The whole source.",
    b"[p]rint              The local variables and their values.",
    b"[p]rint <var>        The value of one variable, in whichever function",
    b"                     it is local; KEYS and ARGV too.",
    b"[b]reak              The lines with breakpoints.",
    b"[b]reak <line>       Stop there from now on.",
    b"[b]reak -<line>      Do not stop there any longer.",
    b"[b]reak 0            Forget all breakpoints.",
    b"[t]race              Who called whom.",
    b"[e]val <code>        Run Lua that sees globals, not the script's locals.",
    b"[r]edis <cmd>        Run a command on the data.",
    b"[m]axlen [len]       Cut shown replies and values at so many bytes;",
    b"                     0 shows all of them.",
    b"[a]bort              End the script. In sync mode what it",
    b"                     has changed stays.",
    b"",
    b"What a script may call to work with the debugger:",
    b"redis.debug()        Show the arguments here.",
    b"redis.breakpoint()   Stop at the line after this",
    b"                     call.",
)


class BadOrder(Exception):
    """The client does not speak the protocol: the script ends with this text."""


class Conversation:
    """One script and one client. `is_stepping`: stop at the next line, and show commands and their replies."""

    def __init__(self, line: Line, text: bytes, threshold_ms: Callable[[], int]) -> None:
        self.line = line
        text = text.rstrip(b"\r\n")
        self.source: List[bytes] = text.split(b"\n") if text else []
        self.threshold_ms = threshold_ms
        self.began_s = monotonic()
        self.is_stepping = True
        self.is_breakpoint_called = False
        self.breakpoints: List[int] = []
        self.current = 0  # the line that runs next
        self.passed = 0  # lines that nobody stopped at
        self.max_length = DEFAULT_MAX_LENGTH
        self.is_hint_given = False
        self.said: List[bytes] = []
        self.received = b""
        self.is_lending = False  # a command of the client runs: it is shown as if stepping
        self.has_timed_out = False

    # What is told ----------------------------------------------------------------------------------------------

    def say(self, text: bytes) -> None:
        self.said.append(text)

    def say_value(self, text: bytes) -> None:
        """Say what may be long; the first time that something is left out comes with a hint."""
        if 0 < self.max_length < len(text):
            self.say(text[: self.max_length] + b" ...")
            if not self.is_hint_given:
                self.is_hint_given = True
                self.say(b"<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.")
        else:
            self.say(text)

    def send(self) -> None:
        """Send what was said."""
        said, self.said = self.said, []
        lines = [b"+%b\r\n" % text.replace(b"\r", b" ").replace(b"\n", b" ") for text in said]
        self.line.send(b"*%d\r\n%b" % (len(lines), b"".join(lines)))

    def show_line(self, number: int) -> None:
        """Say one line of the source, with what there is to know of it."""
        head = b"->" if number == self.current else b"  "
        mark = b"#" if number in self.breakpoints else b" "
        in_range = 0 < number <= len(self.source)
        text = self.source[number - 1] if in_range else b"<out of range source code line>"
        self.say(b"%b%b%-3d %b" % (head, mark, number, text))

    def show_lines(self, around: int, context: int) -> None:
        for number in range(max(1, around - context), min(len(self.source), around + context) + 1):
            self.show_line(number)

    def show_command(self, argv: Sequence[bytes]) -> None:
        text = b"<redis> " + b" ".join(argv[:SHOWN_WORDS])
        if len(argv) > SHOWN_WORDS:
            text += b" ... (%d more)" % (len(argv) - SHOWN_WORDS - 1)
        self.say(text)

    def show_reply(self, encoded: bytes) -> None:
        self.say_value(b"<reply> " + readable(encoded))

    # What the interpreter asks ---------------------------------------------------------------------------------

    def stops_at(self, number: int) -> bool:
        """Whether the script stands still before this line; if so, the client has been told."""
        self.current = number
        is_break = self.is_breakpoint_called or number in self.breakpoints
        self.has_timed_out = False
        if not self.is_stepping and not is_break:
            self.passed += 1
            if self.passed % CLOCK_EVERY or (monotonic() - self.began_s) * 1000 < (self.threshold_ms() or 5000):
                return False
            self.has_timed_out = True
        reason = b"step over"
        if self.is_breakpoint_called:
            reason = b"redis.breakpoint() called"
        elif is_break:
            reason = b"break point"
        elif self.has_timed_out:
            reason = b"timeout reached, infinite loop?"
        self.is_stepping = self.is_breakpoint_called = False
        self.say(b"* Stopped at %d, stop reason = %b" % (number, reason))
        self.show_line(number)
        self.send()
        return True

    def order(self) -> List[bytes]:
        """The next order that needs a look inside: its name and what belongs to it. The others are done here."""
        if self.is_lending:
            self.is_lending = self.is_stepping = False
        while True:
            try:
                words = self.receive()
            except BadOrder as error:
                return [b"abort", b"ERR " + error.args[0]]
            if words is None:
                # Nobody is there any more: the script goes on by itself, but not for ever.
                self.is_stepping = False
                self.breakpoints.clear()
                if self.has_timed_out:
                    return [b"abort", b"ERR timeout during Lua debugging with client closing connection"]
                return self.leave()
            # Redis reads words up to a NUL; the arguments of `redis` and `eval` are whole.
            name = c_text(words[0]).lower()
            if name in (b"s", b"step", b"n", b"next"):
                self.is_stepping = True
                return self.leave()
            if name in (b"c", b"continue"):
                return self.leave()
            if name in (b"t", b"trace"):
                return [b"trace"]
            if name in (b"e", b"eval"):
                return [b"eval", b" ".join(words[1:])]
            if name in (b"p", b"print"):
                return [b"print", c_text(words[1])] if len(words) == 2 else [b"print"]
            if name in (b"a", b"abort"):
                return [b"abort", b"ERR script aborted for user request"]
            if name in (b"r", b"redis") and len(words) > 1:
                self.is_lending = self.is_stepping = True
                return [b"redis"] + words[1:]
            self.obey(name, words)
            self.send()

    def leave(self) -> List[bytes]:
        self.began_s = monotonic()
        return [b"go"]

    def call_breakpoint(self) -> bool:
        """redis.breakpoint()"""
        self.is_breakpoint_called = True
        return True

    # Orders that are done here -----------------------------------------------------------------------------------

    def obey(self, name: bytes, words: Sequence[bytes]) -> None:
        if name in (b"h", b"help"):
            self.said += HELP
        elif name in (b"m", b"maxlen"):
            self.limit_length(words)
        elif name in (b"b", b"break"):
            self.change_breakpoints(words)
        elif name in (b"l", b"list"):
            around = leading_int(words[1]) if len(words) > 1 else 0
            context = leading_int(words[2]) if len(words) > 2 else CONTEXT_LINES
            self.show_lines(around if around > 0 else self.current, context)
        elif name in (b"w", b"whole"):
            self.show_lines(0, len(self.source))
        else:
            self.say(NO_SUCH_ORDER)

    def limit_length(self, words: Sequence[bytes]) -> None:
        if len(words) == 2:
            self.is_hint_given = True
            length = leading_int(words[1])
            self.max_length = max(length, LEAST_MAX_LENGTH) if length else 0
        if self.max_length:
            self.say(b"<value> replies are truncated at %d bytes." % self.max_length)
        else:
            self.say(b"<value> replies are unlimited.")

    def change_breakpoints(self, words: Sequence[bytes]) -> None:
        """List breakpoints, or obey numbers of lines: set one, take one away (negative), take all away (0)."""
        if len(words) == 1:
            if not self.breakpoints:
                self.say(b"No breakpoints set. Use 'b <line>' to add one.")
                return
            self.say(b"%d breakpoints set:" % len(self.breakpoints))
            for number in self.breakpoints:
                self.show_line(number)
        for word in words[1:]:
            try:
                number = parse_int(word)
            except ValueError:
                self.say(b"Invalid argument:'%b'" % word)
                continue
            if number == 0:
                self.breakpoints.clear()
                self.say(b"All breakpoints removed.")
            elif number > 0:
                if len(self.breakpoints) == MAX_BREAKPOINTS:
                    self.say(b"Too many breakpoints set.")
                elif number <= len(self.source):
                    if number not in self.breakpoints:
                        self.breakpoints.append(number)
                    self.show_lines(number, 1)
                else:
                    self.say(b"Wrong line number.")
            elif -number in self.breakpoints:
                self.breakpoints.remove(-number)
                self.say(b"Breakpoint removed.")
            else:
                self.say(b"No breakpoint in the specified line.")

    # Reading -----------------------------------------------------------------------------------------------------

    def receive(self) -> Optional[List[bytes]]:
        """Wait for an order; None if the client is gone. What comes behind it in the same bytes is dropped."""
        while True:
            words = split_order(self.received)
            if words is not None:
                self.received = b""
                return words
            data = self.line.receive()
            if not data:
                return None
            self.received += data
            if len(self.received) > MAX_WAITING_BYTES:
                self.received = b""
                raise BadOrder(b"max client buffer reached")


def split_order(data: bytes) -> Optional[List[bytes]]:
    """The words of a complete order, None while it is not; raises BadOrder."""
    if not data:
        return None
    if data[:1] != b"*":
        raise BadOrder(PROTOCOL_ERROR)
    count = leading_int(data[1:])
    if not 0 < count <= MAX_WORDS:
        raise BadOrder(PROTOCOL_ERROR)
    words: List[bytes] = []
    at = data.find(b"\r\n") + 2
    while len(words) < count:
        if at == 1 or at >= len(data):
            return None
        if data[at : at + 1] != b"$":
            raise BadOrder(PROTOCOL_ERROR)
        length = leading_int(data[at + 1 : at + 24])
        if not 0 < length <= MAX_WORD_BYTES:
            raise BadOrder(PROTOCOL_ERROR)
        at = data.find(b"\r\n", at) + 2
        if at == 1 or at + length + 2 > len(data):
            return None
        if data[at + length : at + length + 2] != b"\r\n":
            raise BadOrder(PROTOCOL_ERROR)
        words.append(data[at : at + length])
        at += length + 2
    return words


# Replies that people read ----------------------------------------------------------------------------------------

def readable(encoded: bytes) -> bytes:
    """An encoded reply on one line. Nothing for the types that Redis's debugger does not know."""
    pieces: List[bytes] = []
    read_one(encoded, 0, pieces)
    return b"".join(pieces)


BRACKETS = {b"*": (b"[", b"]"), b"~": (b"~(", b")"), b"%": (b"{", b"}"), b">": (b"[", b"]")}


def read_one(encoded: bytes, at: int, pieces: List[bytes]) -> int:
    """Append one reply to `pieces`; where the next begins."""
    kind = encoded[at : at + 1]
    end = encoded.index(b"\r\n", at)
    line = encoded[at + 1 : end]
    behind = end + 2
    if kind in (b"$", b"=") and line != b"-1":
        behind += int(line) + 2
        if kind == b"$":
            pieces.append(quoted(encoded[end + 2 : behind - 2]))
    elif kind in BRACKETS and line != b"-1":
        left, right = BRACKETS[kind]
        pieces.append(left)
        for place in range(int(line)):
            if place:
                pieces.append(b",")
            behind = read_one(encoded, behind, pieces)
            if kind == b"%":
                pieces.append(b" => ")
                behind = read_one(encoded, behind, pieces)
        pieces.append(right)
    elif line == b"-1" and kind in b"$*":
        pieces.append(b"NULL")
    elif kind == b":":
        pieces.append(line)
    elif kind in (b"+", b"-"):
        pieces.append(quoted(kind + line))
    elif kind == b"_":
        pieces.append(b"(null)")
    elif kind == b"#":
        pieces.append(b"#true" if line == b"t" else b"#false")
    elif kind == b",":
        pieces.append(b"(double) " + line)
    return behind
