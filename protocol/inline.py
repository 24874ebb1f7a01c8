"""Splitting a line into words with Redis's quoting rules, for inline commands and configuration lines.

The grammar: words are separated by white space; "double quotes" understand \\n \\r \\t \\b \\a \\xHH and backslash
before any other byte; 'single quotes' understand \\' only; a closing quote must be followed by white space or the end.
"""

from __future__ import annotations

_SPACE = b" \n\r\t\v\f"
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_HEX = b"0123456789abcdefABCDEF"
_DOUBLE, _SINGLE, _BACKSLASH = 34, 39, 92


class UnbalancedQuotes(ValueError):
    """A quote is not closed, or something touches the closing one."""


def split_arguments(line: bytes) -> list[bytes]:
    """The words of `line`; raises UnbalancedQuotes. O(len(line))."""
    line = line.split(b"\0", 1)[0]  # the grammar is of C text
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
