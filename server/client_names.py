"""What a client may call itself, or the library it uses: visible ASCII without spaces.

Redis reads these words as C text, which ends at a NUL byte, and decides and prints no more of them.
"""

from __future__ import annotations

from storage.errors import CommandError
from storage.text import c_text

VISIBLE = bytes(range(ord("!"), ord("~") + 1))


def check_name(name: bytes, what: bytes = b"Client names") -> None:
    """Refuse a text that would break the lines of CLIENT LIST. An empty one is fine: it takes the name away."""
    if c_text(name).translate(None, VISIBLE):
        raise CommandError(b"ERR %b cannot contain spaces, newlines or special characters." % c_text(what))
