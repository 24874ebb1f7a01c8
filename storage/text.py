"""Text as C reads it and as Redis quotes it: where it ends, its words, and how bytes are shown on one line.

Owns the grammar of inline commands, configuration lines and manifests: words are separated by white space; "double
quotes" understand \\n \\r \\t \\b \\a \\xHH and backslash before any other byte; 'single quotes' understand \\' only; a
closing quote must be followed by white space or the end. Must not know who reads or writes the lines.

Invariant: `split_arguments(quoted(text))` gives the text back.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Bytes = TypeVar("Bytes", bytes, bytearray)

_SPACE = b" \n\r\t\v\f"
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_QUOTED = {10: b"\\n", 13: b"\\r", 9: b"\\t", 8: b"\\b", 7: b"\\a", 34: b'\\"', 92: b"\\\\"}
_PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in _QUOTED)
_HEX = b"0123456789abcdefABCDEF"
_DOUBLE, _SINGLE, _BACKSLASH = 34, 39, 92


class UnbalancedQuotes(ValueError):
    """A quote is not closed, or something touches the closing one."""


def c_text(text: Bytes) -> Bytes:
    """What C sees of a text, which ends at its first NUL there."""
    return text.partition(b"\0")[0]


def quoted(text: bytes) -> bytes:
    """The text between double quotes, on one line and in ASCII."""
    if not text.translate(None, _PLAIN):
        return b'"%b"' % text
    return b'"%b"' % b"".join(
        [_QUOTED.get(byte) or (b"%c" % byte if 0x20 <= byte < 0x7F else b"\\x%02x" % byte) for byte in text]
    )


def split_arguments(line: bytes) -> list[bytes]:
    """The words of `line`; raises UnbalancedQuotes. O(len(line))."""
    line = c_text(line)
    if b'"' not in line and b"'" not in line:
        return line.split()
    words: list[bytes] = []
    position, end = 0, len(line)
    while True:
        while position < end and line[position] in _SPACE:
            position += 1
        if position >= end:
            return words
        word, position = _word(line, position)
        words.append(word)


def _word(line: bytes, position: int) -> tuple[bytes, int]:
    word = bytearray()
    end = len(line)
    while position < end:
        byte = line[position]
        if byte in _SPACE:
            break
        if byte == _DOUBLE:
            position = _double_quoted(line, position + 1, word)
            break
        if byte == _SINGLE:
            position = _single_quoted(line, position + 1, word)
            break
        word.append(byte)
        position += 1
    return bytes(word), position


def _double_quoted(line: bytes, position: int, word: bytearray) -> int:
    end = len(line)
    while position < end:
        byte = line[position]
        if byte == _BACKSLASH and position + 1 < end:
            following = line[position + 1]
            digits = line[position + 2 : position + 4]
            if following == ord("x") and len(digits) == 2 and digits[0] in _HEX and digits[1] in _HEX:
                word.append(int(digits, 16))
                position += 4
            else:
                word.append(_ESCAPES.get(following, following))
                position += 2
        elif byte == _DOUBLE:
            return _closed(line, position + 1)
        else:
            word.append(byte)
            position += 1
    raise UnbalancedQuotes


def _single_quoted(line: bytes, position: int, word: bytearray) -> int:
    end = len(line)
    while position < end:
        byte = line[position]
        if byte == _BACKSLASH and line[position + 1 : position + 2] == b"'":
            word.append(_SINGLE)
            position += 2
        elif byte == _SINGLE:
            return _closed(line, position + 1)
        else:
            word.append(byte)
            position += 1
    raise UnbalancedQuotes


def _closed(line: bytes, position: int) -> int:
    if position < len(line) and line[position] not in _SPACE:
        raise UnbalancedQuotes
    return position
