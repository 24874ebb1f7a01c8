"""Refusals as the client reads them: the exception commands raise and the texts that several of them share.

Owns the wording of errors that belong to no single command, exactly as Redis 7.4 sends them (without the leading
``-`` and the line end, which belong to the reply encoder). Must not know which command failed. A text used by one
command only stands beside that command.
"""

from __future__ import annotations


class CommandError(Exception):
    """A request that cannot be served; `text` is the error line without its leading dash."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        Exception.__init__(self, text)
        self.text = text


WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"


class WrongType(CommandError):
    """The key holds another type than the command works on."""

    __slots__ = ()

    def __init__(self) -> None:
        CommandError.__init__(self, WRONG_TYPE)


# Numbers.
NOT_AN_INTEGER = b"ERR value is not an integer or out of range"
NOT_A_FLOAT = b"ERR value is not a valid float"
OUT_OF_RANGE = b"ERR value is out of range"
MUST_BE_POSITIVE = b"ERR value is out of range, must be positive"
OVERFLOW = b"ERR increment or decrement would overflow"
DECREMENT_OVERFLOW = b"ERR decrement would overflow"
NAN_OR_INFINITY = b"ERR increment would produce NaN or Infinity"

# Hash fields.
HASH_NOT_AN_INTEGER = b"ERR hash value is not an integer"
HASH_NOT_A_FLOAT = b"ERR hash value is not a float"

# Sorted sets.
MIN_MAX_NOT_FLOAT = b"ERR min or max is not a float"
MIN_MAX_NOT_LEX = b"ERR min or max not valid string range item"
SCORE_IS_NAN = b"ERR resulting score is not a number (NaN)"
WEIGHT_NOT_FLOAT = b"ERR weight value is not a float"

# Arguments.
SYNTAX_ERROR = b"ERR syntax error"
NO_SUCH_KEY = b"ERR no such key"
SAME_OBJECT = b"ERR source and destination objects are the same"
INDEX_OUT_OF_RANGE = b"ERR index out of range"
OFFSET_OUT_OF_RANGE = b"ERR offset is out of range"
STRING_TOO_LONG = b"ERR string exceeds maximum allowed size (proto-max-bulk-len)"
BIT_OFFSET_OUT_OF_RANGE = b"ERR bit offset is not an integer or out of range"
BIT_OUT_OF_RANGE = b"ERR bit is not an integer or out of range"
INVALID_CURSOR = b"ERR invalid cursor"
DB_OUT_OF_RANGE = b"ERR DB index is out of range"
TIMEOUT_NOT_FLOAT = b"ERR timeout is not a float or out of range"
TIMEOUT_NOT_INTEGER = b"ERR timeout is not an integer or out of range"
TIMEOUT_NEGATIVE = b"ERR timeout is negative"
TIMEOUT_OUT_OF_RANGE = b"ERR timeout is out of range"
NUMKEYS_NOT_POSITIVE = b"ERR numkeys should be greater than 0"
LIMIT_NEGATIVE = b"ERR LIMIT can't be negative"

# State.
BUSY_KEY = b"BUSYKEY Target key name already exists."
EXEC_ABORTED = b"EXECABORT Transaction discarded because of previous errors."
READ_ONLY = b"READONLY You can't write against a read only replica."
OUT_OF_MEMORY = b"OOM command not allowed when used memory > 'maxmemory'."
NO_AUTH = b"NOAUTH Authentication required."
LOADING = b"LOADING Redis is loading the dataset in memory"
BUSY_SCRIPT = b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
MASTER_DOWN = b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
NO_REPLICAS = b"NOREPLICAS Not enough good replicas to write."
NO_SUCH_SCRIPT = b"NOSCRIPT No matching script. Please use EVAL."
UNBLOCKED = b"UNBLOCKED client unblocked via CLIENT UNBLOCK"
