"""EVAL and SCRIPT: scripts by the SHA1 of their text.

Owns the cache: what EVAL brings is kept up to MAX_EVALUATED scripts and then forgotten, least recently used first; what
SCRIPT LOAD brings is kept until SCRIPT FLUSH. Owns the grammar of the `#!lua flags=` line. Must not know how a script
is run.
"""

from __future__ import annotations

from hashlib import sha1

from server.scripting.flags import COMPATIBLE, FLAG_NAMES
from server.scripting.words import count_keys
from storage.errors import NO_SUCH_SCRIPT, NOT_AN_INTEGER, CommandError
from storage.text import UnbalancedQuotes, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Sequence, Tuple

    from server.scripting.engine import Engine
    from server.session import Session

MAX_EVALUATED = 500
DIGEST_LENGTH = 40
CHUNK_NAME = b"@user_script"


class Script:
    """`name` is the digest of `text`."""

    __slots__ = ("name", "text", "flags", "code", "is_loaded")

    def __init__(self, name: bytes, text: bytes, flags: int, code: Any) -> None:
        self.name = name
        self.text = text
        self.flags = flags
        self.code = code
        self.is_loaded = False


class Scripts:
    """The cache. Looking a script up is O(1)."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.by_digest: Dict[bytes, Script] = {}
        self.evaluated: Dict[bytes, None] = {}  # digests of what EVAL brought, least recently used first
        self.digests: Dict[bytes, bytes] = {}  # text to digest of what is cached: saves hashing it again
        self.evicted = 0

    def __len__(self) -> int:
        return len(self.by_digest)

    def memory_bytes(self) -> int:
        """Roughly what the texts take."""
        return sum([len(script.text) + 200 for script in self.by_digest.values()])

    def flush(self) -> None:
        self.by_digest.clear()
        self.evaluated.clear()
        self.digests.clear()
        self.engine.interpreters.pop(True, None)

    def load(self, text: bytes) -> bytes:
        """SCRIPT LOAD: keep a script until the next flush."""
        script = self.cached(text, False)
        script.is_loaded = True
        self.evaluated.pop(script.name, None)
        return script.name

    def cached(self, text: bytes, is_counted: bool = True) -> Script:
        """The script of a text, compiled if it is new; one that counts may push out the oldest."""
        digest = self.digests.get(text)
        if digest is None:
            digest = sha1(text).hexdigest().encode()
        script = self.by_digest.get(digest)
        if script is None:
            script = self.compile(digest, text)
            while is_counted and len(self.evaluated) >= MAX_EVALUATED:
                oldest = next(iter(self.evaluated))
                del self.evaluated[oldest]
                self.digests.pop(self.by_digest.pop(oldest).text, None)
                self.evicted += 1
            self.by_digest[digest] = script
            self.digests[text] = digest
            self.evaluated[digest] = None
        return script

    def flags_of(self, word: bytes, is_digest: bool) -> int:
        """The flags of the script that a text or a digest stands for, also of one that is not cached."""
        digest = word if is_digest else self.digests.get(word, b"")
        script = self.by_digest.get(digest) or self.by_digest.get(digest.lower())
        if script is not None:
            return script.flags
        try:
            return COMPATIBLE if is_digest else split_shebang(word)[0]
        except CommandError:
            return COMPATIBLE  # nobody can run it

    def compile(self, digest: bytes, text: bytes) -> Script:
        flags, body = split_shebang(text)
        compiled = self.engine.interpreter(True).compile(body, CHUNK_NAME)
        if compiled.__class__ is tuple:
            raise CommandError(b"ERR Error compiling script (new function): " + compiled[1])
        return Script(digest, text, flags, compiled)

    def evaluate(self, ctx: Session, argv: Sequence[bytes], by_digest: bool, read_only: bool) -> Any:
        """EVAL and its variants."""
        if by_digest:
            digest = argv[1]
            if len(digest) != DIGEST_LENGTH:
                raise CommandError(NO_SUCH_SCRIPT)
            count = count_keys(argv, NOT_AN_INTEGER)
            script = self.by_digest.get(digest) or self.by_digest.get(digest.lower())
            if script is None:
                raise CommandError(NO_SUCH_SCRIPT)
        else:
            count = count_keys(argv, NOT_AN_INTEGER)
            script = self.cached(argv[1])
        if not script.is_loaded:
            # To the end of the line of those that will be forgotten.
            self.evaluated.pop(script.name, None)
            self.evaluated[script.name] = None
        return self.engine.run(ctx, script, argv, count, True, read_only)


def split_shebang(text: bytes) -> Tuple[int, bytes]:
    """The flags of a script's first line, and the text to compile, whose lines keep their numbers."""
    if not text.startswith(b"#!"):
        return COMPATIBLE, text
    line, newline, rest = text.partition(b"\n")
    if not newline:
        raise CommandError(b"ERR Invalid script shebang")
    try:
        words = split_arguments(line)
    except UnbalancedQuotes:
        raise CommandError(b"ERR Invalid engine in script shebang") from None
    if not words or words[0] != b"#!lua":
        raise CommandError(b"ERR Unexpected engine in script shebang: " + (words[0] if words else b""))
    flags = 0
    for word in words[1:]:
        if not word.startswith(b"flags="):
            raise CommandError(b"ERR Unknown lua shebang option: " + word)
        for name in word[6:].split(b",") if len(word) > 6 else ():
            if name not in FLAG_NAMES:
                raise CommandError(b"ERR Unexpected flag in script shebang: " + name)
            flags |= FLAG_NAMES[name]
    return flags, newline + rest
