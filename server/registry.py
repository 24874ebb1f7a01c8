"""One declaration per command: the decorator, its record, and the table in which dispatch looks names up.

From a record come COMMAND and its subcommands, arity errors, ACL categories, key positions, HELP, admission.
Declaring refuses a contradiction, and `Registry.of` a duplicate, while the program is imported: a server with
a broken table never starts. Records are immutable once a registry holds them; counters belong to who counts.
This module must not know any command, nor how one is run.
"""

from __future__ import annotations

import sys

from server.keyspecs import NOT_KEY, OW, RM, RO, RW, KeySpec, find_keys, legacy_range
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, Callable, Optional, TypeVar, Union

    from server.keyspecs import KeyFinder, KeyPositions

    Handler = Callable[[Any, Sequence[bytes]], Any]
    Together = Callable[[Any, Sequence[Sequence[bytes]]], Optional[Sequence[Any]]]
    AnyHandler = TypeVar("AnyHandler", bound=Callable[..., Any])

# Command flags, in the order in which COMMAND names them.
WRITE = 1 << 0
READONLY = 1 << 1
DENYOOM = 1 << 2
MODULE = 1 << 3
ADMIN = 1 << 4
PUBSUB = 1 << 5
NOSCRIPT = 1 << 6
BLOCKING = 1 << 7
LOADING = 1 << 8
STALE = 1 << 9
SKIP_MONITOR = 1 << 10
SKIP_SLOWLOG = 1 << 11
ASKING = 1 << 12
FAST = 1 << 13
NO_AUTH = 1 << 14
MAY_REPLICATE = 1 << 15  # may propagate although it is no write; not shown to clients
NO_MANDATORY_KEYS = 1 << 17
PROTECTED = 1 << 18  # needs its own switch in the configuration; not shown
NO_ASYNC_LOADING = 1 << 19
NO_MULTI = 1 << 20
MOVABLE_KEYS = 1 << 21  # derived from the key specifications
ALLOW_BUSY = 1 << 22
TOUCHES_ARBITRARY_KEYS = 1 << 23  # deletions it causes are not one transaction with it; not shown
WALKS = 1 << 24  # in the order of an index, which may have to be made: see server.index_growth; not shown
SWELLS = 1 << 25  # may need more memory than its arguments have bytes: it notes how much; not shown
RUNS_SCRIPT = 1 << 26  # what it is refused for depends on the flags of the script it runs; not shown

# Using a column at once spares CPython's loop; PyPy's own is faster: GETs by 16, 0.45 us one by one, 0.53 together.
COLUMNS_PAY = sys.implementation.name != "pypy"

NOT_PLAIN = BLOCKING | ADMIN | NOSCRIPT | PUBSUB | NO_AUTH | MAY_REPLICATE | NO_MULTI
PUBLISHES = PUBSUB | MAY_REPLICATE  # both together: PUBLISH and SPUBLISH, which change no rules, either

FLAG_NAMES = (
    (WRITE, b"write"),
    (READONLY, b"readonly"),
    (DENYOOM, b"denyoom"),
    (MODULE, b"module"),
    (ADMIN, b"admin"),
    (PUBSUB, b"pubsub"),
    (NOSCRIPT, b"noscript"),
    (BLOCKING, b"blocking"),
    (LOADING, b"loading"),
    (STALE, b"stale"),
    (SKIP_MONITOR, b"skip_monitor"),
    (SKIP_SLOWLOG, b"skip_slowlog"),
    (ASKING, b"asking"),
    (FAST, b"fast"),
    (NO_AUTH, b"no_auth"),
    (NO_MANDATORY_KEYS, b"no_mandatory_keys"),
    (NO_ASYNC_LOADING, b"no_async_loading"),
    (NO_MULTI, b"no_multi"),
    (MOVABLE_KEYS, b"movablekeys"),
    (ALLOW_BUSY, b"allow_busy"),
)

# ACL categories, in the order of ACL CAT; the bit of each is its place.
CATEGORY_NAMES = (
    b"keyspace",
    b"read",
    b"write",
    b"set",
    b"sortedset",
    b"list",
    b"hash",
    b"string",
    b"bitmap",
    b"hyperloglog",
    b"geo",
    b"stream",
    b"pubsub",
    b"admin",
    b"fast",
    b"slow",
    b"blocking",
    b"dangerous",
    b"connection",
    b"transaction",
    b"scripting",
)
CATEGORY_BITS = {name: 1 << place for place, name in enumerate(CATEGORY_NAMES)}

# The category that every command of a COMMAND DOCS group has; the other groups imply none.
_CATEGORY_OF_GROUP = {
    "string": b"string",
    "list": b"list",
    "hash": b"hash",
    "set": b"set",
    "sorted-set": b"sortedset",
    "stream": b"stream",
    "bitmap": b"bitmap",
    "hyperloglog": b"hyperloglog",
    "geo": b"geo",
    "pubsub": b"",  # by the flag: PUBSUB HELP has no part in it
    "generic": b"keyspace",
    "connection": b"connection",
    "transactions": b"transaction",
    "scripting": b"scripting",
    "server": b"",
    "cluster": b"",
}

_CATEGORIES_OF_FLAG = (
    (WRITE, (b"write",)),
    (ADMIN, (b"admin", b"dangerous")),
    (PUBSUB, (b"pubsub",)),
    (FAST, (b"fast",)),
    (BLOCKING, (b"blocking",)),
)


class DeclarationError(Exception):
    """A declaration contradicts itself or another one; raised while the program is imported."""


def derive_categories(flags: int, group: str, extra: Iterable[str]) -> int:
    """Return ACL categories as bits; "-name" in `extra` takes back what the group implies."""
    bits = 0
    implied = _CATEGORY_OF_GROUP[group]
    if implied:
        bits |= CATEGORY_BITS[implied]
    for name in extra:
        if name.startswith("-"):
            bits &= ~CATEGORY_BITS[name[1:].encode()]
        else:
            bits |= CATEGORY_BITS[name.encode()]
    for flag, names in _CATEGORIES_OF_FLAG:
        if flags & flag:
            for category in names:
                bits |= CATEGORY_BITS[category]
    if flags & READONLY and not bits & CATEGORY_BITS[b"scripting"]:
        bits |= CATEGORY_BITS[b"read"]
    if not flags & FAST:
        bits |= CATEGORY_BITS[b"slow"]
    return bits


class CommandSpec:
    """All that is known of one command or subcommand.

    `name` is as COMMAND prints it: lower case, b"object|encoding" for a subcommand. `id` numbers the specs of
    one registry from 0, for bitmaps and tables beside it. `handler` is None for a container that cannot run.
    `trips` are the conditions that could refuse or divert it (see server.admission). A *plain* command reads and writes
    keys, and changes nothing about how the next one is to be run.
    """

    __slots__ = (
        "name",
        "handler",
        "arity",
        "flags",
        "keys",
        "keys_by",
        "group",
        "since",
        "complexity",
        "history",
        "tips",
        "syntax",
        "summary",
        "categories",
        "subcommands",
        "parent",
        "first_key",
        "last_key",
        "step",
        "only_key",
        "deprecated",
        "is_system",
        "trips",
        "is_plain",
        "publishes",
        "id",
        "together",
    )

    def __init__(
        self,
        name: bytes,
        handler: Optional[Handler],
        arity: int,
        flags: int,
        keys: tuple[KeySpec, ...],
        keys_by: Optional[KeyFinder],
        group: str,
        since: str,
        complexity: str,
        history: Sequence[tuple[str, str]],
        tips: Sequence[str],
        syntax: str,
        summary: str,
        acl: Sequence[str],
        deprecated: Optional[tuple[str, str]],
        is_system: bool,
        together: Optional[Together],
    ) -> None:
        self.name = name
        self.together = together if COLUMNS_PAY else None
        self.handler = handler
        self.arity = arity
        self.keys = keys
        self.keys_by = keys_by
        self.group = group
        self.since = since
        self.complexity = complexity
        self.history = history
        self.tips = tips
        self.syntax = syntax
        self.summary = summary
        self.deprecated = deprecated
        self.is_system = is_system
        self.subcommands: Optional[dict[bytes, CommandSpec]] = None
        self.parent: Optional[CommandSpec] = None
        self.first_key, self.last_key, self.step, movable = legacy_range(keys)
        self.only_key: Optional[tuple[int, int]] = None
        if len(keys) == 1 and keys[0].is_single:
            self.only_key = (keys[0].position, keys[0].flags)
        self.flags = flags | MOVABLE_KEYS if movable else flags
        # A container grants nothing by itself, so it has no category of its group.
        self.categories = derive_categories(flags, group if handler is not None else "server", acl)
        self.trips = 0
        self.is_plain = False
        self.publishes = False  # may push something to the very client that says it
        self.id = -1
        self._refuse_contradictions()

    def __repr__(self) -> str:
        return f"<CommandSpec {self.name.decode()}>"

    @property
    def has_keys(self) -> bool:
        """Whether some of its arguments may be keys (a channel that hashes to a slot is none)."""
        return self.keys_by is not None or any(not spec.flags & NOT_KEY for spec in self.keys)

    def accepts(self, argc: int) -> bool:
        return argc == self.arity if self.arity > 0 else argc >= -self.arity

    def keys_of(self, argv: Sequence[bytes]) -> KeyPositions:
        """Return (position, key flags) for every key of a vector; empty where the vector is malformed."""
        only = self.only_key  # 1100 -> 200 ns for commands of one key, most of all calls
        if only is not None:
            return [only] if len(argv) > only[0] else []
        return find_keys(self.keys, self.keys_by, argv)

    def category_names(self) -> list[bytes]:
        categories = self.categories
        return [name for place, name in enumerate(CATEGORY_NAMES) if categories >> place & 1]

    def flag_names(self) -> list[bytes]:
        flags = self.flags
        return [name for flag, name in FLAG_NAMES if flags & flag]

    def _refuse_contradictions(self) -> None:
        flags, least = self.flags, abs(self.arity)
        if self.arity == 0:
            self._refuse("no arity accepts nothing")
        if b"|" in self.name and least < 2:
            self._refuse("a subcommand has at least two arguments")
        if flags & WRITE and flags & READONLY:
            self._refuse("both WRITE and READONLY")
        if flags & FAST and flags & ADMIN and flags & WRITE:
            self._refuse("an administrative write is not FAST")
        if not self.summary and sys.flags.optimize < 2:  # python -OO leaves docstrings out
            self._refuse("no summary: give the handler a docstring")
        if not self.since[:1].isdigit() or self.since.count(".") != 2:
            self._refuse("since is not a version")
        for spec in self.keys:
            access = spec.flags & (RO | RW | OW | RM)
            if not spec.flags & NOT_KEY and (not access or access & (access - 1)):
                self._refuse("a key is exactly one of RO, RW, OW and RM")
            if spec.flags & (OW | RM) and not flags & WRITE:
                self._refuse("writes a key without WRITE")
            # A range to the end may be empty, and then begins where the vector ends.
            farthest = spec.position + spec.last if spec.last >= 0 else spec.position - 1
            if spec.is_plain_range and farthest >= least:
                self._refuse("a key lies beyond the shortest vector that the arity accepts")

    def _refuse(self, reason: str) -> None:
        raise DeclarationError(f"{self.name.decode().upper()}: {reason}")


class Group:
    """The commands of one COMMAND DOCS group, as one module declares them."""

    __slots__ = ("name", "specs")

    def __init__(self, name: str) -> None:
        if name not in _CATEGORY_OF_GROUP:
            raise DeclarationError(f"unknown group {name!r}")
        self.name = name
        self.specs: list[CommandSpec] = []

    def command(
        self,
        name: str,
        arity: int,
        flags: int = 0,
        keys: Union[KeySpec, tuple[KeySpec, ...]] = (),
        since: str = "1.0.0",
        complexity: str = "",
        history: Sequence[tuple[str, str]] = (),
        tips: Sequence[str] = (),
        syntax: str = "",
        acl: Sequence[str] = (),
        keys_by: Optional[KeyFinder] = None,
        deprecated: Optional[tuple[str, str]] = None,
        is_system: bool = False,
        summary: str = "",
        together: Optional[Together] = None,
    ) -> Callable[[AnyHandler], AnyHandler]:
        """Declare the decorated handler as a command; "OBJECT|ENCODING" declares a subcommand of OBJECT.

        `syntax` is in the notation of server.syntax; `deprecated` is (version, what to use); the summary is
        the first line of the handler's docstring unless given. The handler itself is returned unchanged, so
        one handler may carry several declarations.

        `together` runs a whole pipeline of this one command, with no more arguments than it needs, in one call: it
        gets the vectors' columns, and returns their replies, or None where they have to run one by one (something to
        refuse, a key that lapses). A write is called so only while nobody but the log listens; it raises nothing, and
        reports one change of its database for all, or none: then each vector, or no vector, goes to the log as it is.
        Worth its second grammar for the very commonest commands.
        """

        def declare(handler: AnyHandler) -> AnyHandler:
            self._add(
                name,
                handler,
                arity,
                flags,
                keys,
                keys_by,
                since,
                complexity,
                history,
                tips,
                syntax,
                summary or _first_line(handler.__doc__),
                acl,
                deprecated,
                is_system,
                together,
            )
            return handler

        return declare

    def container(
        self,
        name: str,
        arity: int = -2,
        flags: int = 0,
        since: str = "1.0.0",
        complexity: str = "Depends on subcommand.",
        summary: str = "",
        history: Sequence[tuple[str, str]] = (),
        tips: Sequence[str] = (),
        acl: Sequence[str] = (),
        deprecated: Optional[tuple[str, str]] = None,
        help_since: str = "5.0.0",
        help_flags: int = LOADING | STALE,
        help_acl: Sequence[str] = (),
    ) -> None:
        """Declare a command that only has subcommands, and its HELP, which is written from the declarations.

        An empty `help_since` declares no HELP.
        """
        text = (since, complexity, history, tips, "", summary)
        self._add(name, None, arity, flags, (), None, *text, acl, deprecated, False)
        if help_since:
            self.help(name, help_since, help_flags, help_acl)

    def help(self, name: str, since: str, flags: int = LOADING | STALE, acl: Sequence[str] = ()) -> None:
        """Declare the HELP subcommand of a command that is declared with a handler of its own."""
        own_name = name.lower().encode()

        def help_of(ctx: Any, argv: Sequence[bytes]) -> Any:
            from server.syntax import help_lines

            return help_lines(ctx.registry.originally(own_name), argv[0])

        text = (since, "O(1)", (), (), "", "Explain the subcommands.")
        self._add(name + "|HELP", help_of, 2, flags, (), None, *text, acl, None, False)

    def _add(
        self,
        name: str,
        handler: Optional[Handler],
        arity: int,
        flags: int,
        keys: Union[KeySpec, tuple[KeySpec, ...]],
        keys_by: Optional[KeyFinder],
        since: str,
        complexity: str,
        history: Sequence[tuple[str, str]],
        tips: Sequence[str],
        syntax: str,
        summary: str,
        acl: Sequence[str],
        deprecated: Optional[tuple[str, str]],
        is_system: bool,
        together: Optional[Together] = None,
    ) -> None:
        self.specs.append(
            CommandSpec(
                name.lower().encode(),
                handler,
                arity,
                flags,
                (keys,) if isinstance(keys, KeySpec) else keys,
                keys_by,
                self.name,
                since,
                complexity,
                history,
                tips,
                syntax,
                summary,
                acl,
                deprecated,
                is_system,
                together,
            )
        )


def _first_line(docstring: Optional[str]) -> str:
    return docstring.strip().partition("\n")[0].strip() if docstring else ""


class Registry:
    """Every command of a server, by name.

    `by_name` holds the commands (not the subcommands) by lower-case name; `specs` holds all of them by id.
    """

    __slots__ = ("by_name", "specs")

    def __init__(self) -> None:
        self.by_name: dict[bytes, CommandSpec] = {}
        self.specs: list[CommandSpec] = []

    @classmethod
    def of(cls, groups: Iterable[Group]) -> Registry:
        """Collect groups; raises DeclarationError for a duplicate or a subcommand without its container."""
        from server.admission import trips_of

        registry = cls()
        subcommands = []
        for group in groups:
            for spec in group.specs:
                spec.trips = trips_of(spec.flags)
                if b"|" in spec.name:
                    subcommands.append(spec)
                else:
                    registry._add(spec)
        for spec in subcommands:
            registry._add_subcommand(spec)
        for spec in registry.specs:
            # The word of a container may begin other commands: XINFO alone, then XINFO STREAM.
            spec.publishes = spec.flags & PUBLISHES == PUBLISHES
            is_harmless = spec.publishes or not spec.flags & NOT_PLAIN
            spec.is_plain = is_harmless and spec.parent is None and spec.subcommands is None
        return registry

    def _add(self, spec: CommandSpec) -> None:
        if spec.name in self.by_name:
            raise DeclarationError(f"{spec.name.decode().upper()} is declared twice")
        self.by_name[spec.name] = spec
        self._number(spec)

    def _add_subcommand(self, spec: CommandSpec) -> None:
        container, _, own_name = spec.name.partition(b"|")
        parent = self.by_name.get(container)
        if parent is None:
            raise DeclarationError(f"{spec.name.decode().upper()} is declared, its container is not")
        if parent.subcommands is None:
            parent.subcommands = {}
        if parent.subcommands.setdefault(own_name, spec) is not spec:
            raise DeclarationError(f"{spec.name.decode().upper()} is declared twice")
        spec.parent = parent
        self._number(spec)

    def _number(self, spec: CommandSpec) -> None:
        spec.id = len(self.specs)
        self.specs.append(spec)

    def __len__(self) -> int:
        return len(self.by_name)

    def __iter__(self) -> Iterator[CommandSpec]:
        """Iterate over the commands, without their subcommands."""
        return iter(self.by_name.values())

    def lookup(self, name: bytes) -> Optional[CommandSpec]:
        """Return the command of this name in any case; b"object|encoding" names a subcommand."""
        spec = self.by_name.get(name.lower())
        if spec is None and b"|" in name:
            container, _, own_name = name.lower().partition(b"|")
            parent = self.by_name.get(container)
            if parent is not None and parent.subcommands is not None:
                spec = parent.subcommands.get(own_name)
        return spec

    def originally(self, name: bytes) -> Optional[CommandSpec]:
        """`lookup` by the names that commands are declared by, whatever they are called now: rules use these."""
        name = name.lower()
        return next((spec for spec in self.specs if spec.name == name), None)

    def rename(self, old: bytes, new: bytes) -> Optional[str]:
        """Call a command by another name, or not at all (an empty one); returns why not. Its rules, flags and what it
        is called in replies stay. Only before the first command is served."""
        old, new = old.lower(), new.lower()
        if old not in self.by_name:
            return "No such command in rename-command"
        if new and new in self.by_name and new != old:
            return "Target command name already exists"
        spec = self.by_name.pop(old)
        if new:
            self.by_name[new] = spec
        return None

    def resolve(self, argv: Sequence[bytes]) -> Optional[CommandSpec]:
        """Return what a vector runs: the command, or the subcommand of a container; None if there is neither.

        A container's name alone is the container itself (its arity then refuses it, or its own handler runs).
        """
        spec = self.by_name.get(argv[0].lower())
        if spec is None or spec.subcommands is None or len(argv) == 1:
            return spec
        return spec.subcommands.get(argv[1].lower())

    def refusal_of(self, argv: Sequence[bytes]) -> bytes:
        """Return the error text for a vector that `resolve` does not know."""
        parent = self.by_name.get(argv[0].lower())
        if parent is not None and len(argv) > 1:
            return unknown_subcommand(argv)
        return unknown_command(argv)


# Redis cuts what it quotes from the client at this many bytes.
MAX_QUOTED_BYTES = 128


def _cut(raw: bytes, limit: int = MAX_QUOTED_BYTES) -> bytes:
    """Cut as C's "%.128s" does: at the limit or at the first zero byte."""
    return c_text(bytes(raw[:limit]))


def _on_one_line(text: bytes) -> bytes:
    """An error reply is one line: whatever the client sent must not end it."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


def unknown_command(argv: Sequence[bytes]) -> bytes:
    args = b""
    for arg in argv[1:]:
        if len(args) >= MAX_QUOTED_BYTES:
            break
        args += b"'%s' " % _cut(arg, MAX_QUOTED_BYTES - len(args))
    return _on_one_line(b"ERR unknown command '%s', with args beginning with: %s" % (_cut(argv[0]), args))


def unknown_subcommand(argv: Sequence[bytes]) -> bytes:
    return _on_one_line(b"ERR unknown subcommand '%s'. Try %s HELP." % (_cut(argv[1]), c_text(argv[0]).upper()))


def wrong_arity(spec: CommandSpec) -> bytes:
    return wrong_arity_of(spec.name)


def wrong_arity_of(name: bytes) -> bytes:
    """The text of a command whose own handler finds that its arguments are too few, too many or not in pairs."""
    return b"ERR wrong number of arguments for '%s' command" % name


def subcommand_syntax(argv: Sequence[bytes]) -> bytes:
    """The text of a subcommand whose own handler found its arguments wrong."""
    return _on_one_line(
        b"ERR unknown subcommand or wrong number of arguments for '%s'. Try %s HELP."
        % (_cut(argv[1]), c_text(argv[0]).upper())
    )
