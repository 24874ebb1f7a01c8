"""Libraries of functions: what FUNCTION LOAD made, kept as data.

Owns the libraries by name and the functions of all of them. Snapshots and the rewritten log get `sources`, a loader
brings them back through `load`; where no interpreter is installed the text is kept all the same, so that nothing is
lost by a save. Must not know files or how a function is run.
"""

from __future__ import annotations

from server.scripting.flags import FLAG_NAMES
from server.scripting.words import count_keys
from storage.errors import CommandError
from storage.text import UnbalancedQuotes, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

    from server.scripting.service import Scripting
    from server.services import Services
    from server.session import Session

CHUNK_NAME = b"@user_function"
NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
BAD_NAME = (
    b"Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
)
BAD_PAYLOAD = b"ERR DUMP payload version or checksum are wrong"


class Function:
    """What FCALL calls; `code` is Lua's."""

    __slots__ = ("name", "description", "flags", "code", "library")

    def __init__(self, name: bytes, description: Optional[bytes], flags: int, code: Any, library: Library) -> None:
        self.name = name
        self.description = description
        self.flags = flags
        self.code = code
        self.library = library

    def flag_names(self) -> List[bytes]:
        return [name for name, bit in FLAG_NAMES.items() if self.flags & bit]


class Library:
    """A source with a name, and what it registered when it was loaded."""

    __slots__ = ("name", "code", "functions")

    def __init__(self, name: bytes, code: bytes) -> None:
        self.name = name
        self.code = code
        self.functions: Dict[bytes, Function] = {}  # by lower-case name


def is_name(name: bytes) -> bool:
    return bool(name) and NAME_BYTES.issuperset(name)


def split_metadata(code: bytes) -> Tuple[bytes, bytes]:
    """The library's name, and the text to compile; raises CommandError."""
    if not code.startswith(b"#!"):
        raise CommandError(b"ERR Missing library metadata")
    line, newline, body = code.partition(b"\n")
    if not newline or b"\0" in line:
        raise CommandError(b"ERR Invalid library metadata")
    try:
        words = split_arguments(line)
    except UnbalancedQuotes:
        raise CommandError(b"ERR Invalid library metadata") from None
    name = None
    for word in words[1:]:
        if not word.lower().startswith(b"name="):
            raise CommandError(b"ERR Invalid metadata value given: " + word)
        if name is not None:
            raise CommandError(b"ERR Invalid metadata value, name argument was given multiple times")
        name = word[5:]
    if name is None:
        raise CommandError(b"ERR Library name was not given")
    if not is_name(name):
        raise CommandError(b"ERR " + BAD_NAME)
    engine = words[0][2:]
    if engine.lower() != b"lua":
        raise CommandError(b"ERR Engine '%b' not found" % engine)
    return name, newline + body


class Functions:
    """All libraries of a server."""

    def __init__(self, services: Services, scripting: Scripting) -> None:
        self.services = services
        self.scripting = scripting
        self.libraries: Dict[bytes, Library] = {}
        self.by_name: Dict[bytes, Function] = {}

    def count(self) -> int:
        return len(self.by_name)

    # Persistence -----------------------------------------------------------------------------------------------

    def sources(self) -> List[bytes]:
        """The texts of all libraries, for a snapshot or a rewritten log."""
        return [library.code for library in self.libraries.values()]

    def load(self, source: bytes, replaces: bool) -> bytes:
        """Bring a library back from a snapshot or a log. Raises CommandError."""
        from server.scripting.interpreter import is_installed

        if not is_installed():
            name, _ = split_metadata(source)
            self.libraries[name] = Library(name, source)
            self.services.log.warning(
                "The function library '%s' is kept but cannot run: install the package 'lupa' and restart"
                % name.decode()
            )
            return name
        return self.create(source, replaces)

    def beside(self) -> Functions:
        """What the libraries of a data set are loaded into that may take the place of this one."""
        return Functions(self.services, self.scripting)

    def take_over(self, other: Functions) -> None:
        """Have the libraries of another one, made by `beside`, instead of these."""
        self.libraries, self.by_name = other.libraries, other.by_name

    # Changing --------------------------------------------------------------------------------------------------

    def create(self, code: bytes, replaces: bool) -> bytes:
        """FUNCTION LOAD; the library's name."""
        name, _ = split_metadata(code)
        if name in self.libraries and not replaces:
            raise CommandError(b"ERR Library '%b' already exists" % name)
        self.put_in([self.make(code)], True)
        return name

    def make(self, code: bytes) -> Library:
        """Compile a library and let it register its functions, out of reach of everybody."""
        from server.scripting.loading import Registration

        name, body = split_metadata(code)
        library = Library(name, code)
        Registration(self.scripting.engine(), library).run(body)
        return library

    def put_in(self, made: List[Library], replaces: bool) -> None:
        """Add libraries, all or none."""
        taken = {}
        names = {library.name for library in made}
        for library in made:
            if library.name in self.libraries and not replaces:
                raise CommandError(b"ERR Library %b already exists" % library.name)
            for key, function in library.functions.items():
                other = self.by_name.get(key)
                if key in taken or (other is not None and other.library.name not in names):
                    raise CommandError(b"ERR Function %b already exists" % function.name)
                taken[key] = function
        for library in made:
            if library.name in self.libraries:
                self.delete(library.name)
            self.libraries[library.name] = library
            self.by_name.update(library.functions)

    def delete(self, name: bytes) -> None:
        library = self.libraries.pop(name, None)
        if library is None:
            raise CommandError(b"ERR Library not found")
        for key in library.functions:
            del self.by_name[key]

    def flush(self) -> None:
        self.libraries.clear()
        self.by_name.clear()
        engine = self.scripting._engine
        if engine is not None and engine.current is None:
            engine.interpreters.pop(False, None)

    # Reading ---------------------------------------------------------------------------------------------------

    def matching(self, pattern: Optional[bytes]) -> Iterator[Library]:
        if pattern is None:
            yield from self.libraries.values()
            return
        from storage.globbing import glob_match

        for library in self.libraries.values():
            if glob_match(pattern, library.name, True):
                yield library

    def dump(self) -> bytes:
        from storage.rdb import layout
        from storage.rdb.crc64 import crc64
        from storage.rdb.spelling import encode_string

        body = b"".join([bytes((layout.FUNCTION,)) + encode_string(source, True) for source in self.sources()])
        body += layout.DEFAULT_VERSION.to_bytes(2, "little")
        return body + crc64(body).to_bytes(8, "little")

    def restore(self, payload: bytes, policy: bytes) -> None:
        """FUNCTION RESTORE: all libraries of a payload, or none."""
        from storage.rdb import layout
        from storage.rdb.corrupt import CorruptData
        from storage.rdb.payload import FOOTER_BYTES, verify
        from storage.rdb.source import Short, Source

        if not verify(payload):
            raise CommandError(BAD_PAYLOAD)
        source = Source(payload[:-FOOTER_BYTES])
        codes = []
        try:
            while source.pos < len(source.buf):
                opcode = source.byte()
                if opcode == layout.FUNCTION_PRE_RELEASE:
                    raise CommandError(b"ERR Pre-GA function format not supported")
                if opcode != layout.FUNCTION:
                    raise CommandError(b"ERR given type is not a function")
                codes.append(bytes(source.string()))
        except (Short, CorruptData):
            raise CommandError(b"ERR Failed loading library data") from None
        restored = self.beside()
        for code in codes:
            restored.create(code, False)
        if policy == b"FLUSH":
            self.take_over(restored)
        else:
            self.put_in(list(restored.libraries.values()), policy == b"REPLACE")

    # Calling ---------------------------------------------------------------------------------------------------

    def call(self, ctx: Session, argv: Sequence[bytes], read_only: bool) -> Any:
        """FCALL and FCALL_RO."""
        services = self.services
        gate = services.dispatch.gate
        if gate.feed_monitors is not None:
            gate.feed_monitors(ctx, argv)
        function = self.by_name.get(argv[1].lower())
        if function is None:
            from server.scripting.interpreter import load_lupa

            load_lupa()  # says so where nothing could run
            raise CommandError(b"ERR Function not found")
        count = count_keys(argv, b"ERR Bad number of keys provided")
        return self.scripting.engine().run(ctx, function, argv, count, False, read_only)
