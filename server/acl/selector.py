"""A selector: one set of commands, keys and channels that a user may use together.

Owns the grammar of its rules (`+get`, `-@write`, `%R~cache:*`, `&news.*`), how they are shown again, and the verdict
on one argument vector. Commands are bits by `spec.id`. Must not know users or sessions.

The rules about commands are kept as they were said, in order, since `+@all -get` and the list of every other command
differ for what is added later. A rule replaces earlier ones about the same command and its subcommands. What stands in
front of them is `+@all` or `-@all`, whichever was last said.
"""

from __future__ import annotations

from server.keyspecs import ACCESS, DELETE, INSERT, UPDATE
from server.log import shown
from server.registry import CATEGORY_BITS, NO_AUTH
from storage.globbing import compile_glob
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Sequence, Tuple

    from server.registry import CommandSpec, Registry

READ, WRITE = 1, 2
BOTH = READ | WRITE
PERMISSION_PREFIX = {BOTH: b"~", READ: b"%R~", WRITE: b"%W~"}

# Verdicts, in the order in which Redis lets one outweigh another.
ALLOWED, DENIED_COMMAND, DENIED_KEY, DENIED_CHANNEL = 0, 1, 2, 4

UNKNOWN_NAME = b"Unknown command or category name in ACL"
SYNTAX = b"Syntax error"
AFTER_ALL_KEYS = (
    b"Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. "
    b"Try 'resetkeys' to start with an empty list of patterns"
)
AFTER_ALL_CHANNELS = (
    b"Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. "
    b"Try 'resetchannels' to start with an empty list of channels"
)
NOT_OF_SUBCOMMAND = b"Allowing first-arg of a subcommand is not supported"
FIRST_ARG_DEPRECATED = (
    "Deprecation warning: Allowing a first arg of an otherwise blocked command is a misuse of ACL and may get disabled "
    "in the future (offender: +%s)"
)

WHITE = frozenset(b" \t\n\v\f\r\0")

# Where the commands that name channels have them: first position, whether only one, whether they are patterns.
CHANNELS: Dict[bytes, Tuple[bool, bool]] = {
    b"publish": (True, False),
    b"spublish": (True, False),
    b"subscribe": (False, False),
    b"ssubscribe": (False, False),
    b"psubscribe": (False, True),
}


class BadRule(Exception):
    """A rule cannot be obeyed; `reason` is Redis's text for it."""

    def __init__(self, reason: bytes) -> None:
        super().__init__(reason)
        self.reason = reason


def has_spaces(text: bytes) -> bool:
    """Whether a text would fall apart in a line of rules."""
    return not WHITE.isdisjoint(text)


def family(spec: CommandSpec) -> List[CommandSpec]:
    """A command and its subcommands: a rule about it is about all of them."""
    return [spec] if spec.subcommands is None else [spec, *spec.subcommands.values()]


class Selector:
    """What may be used together. A new one permits nothing."""

    __slots__ = (
        "registry",
        "allowed",
        "all_commands",
        "future_commands",
        "command_rules",
        "first_args",
        "all_keys",
        "keys",
        "all_channels",
        "channels",
        "warn",
        "_matchers",
    )

    def __init__(
        self, registry: Registry, all_channels: bool = False, warn: Optional[Callable[[str], None]] = None
    ) -> None:
        self.registry = registry
        self.warn = warn
        self.allowed = 0  # a bit for each spec.id
        self.all_commands = False  # and no exception was ever made
        self.future_commands = False  # whether commands without a rule are allowed
        self.command_rules: List[bytes] = []
        self.first_args: Dict[int, List[bytes]] = {}  # of commands that only some first arguments are allowed for
        self.all_keys = False
        self.keys: Dict[bytes, int] = {}  # pattern -> READ, WRITE or BOTH
        self.all_channels = all_channels
        self.channels: Dict[bytes, None] = {}
        self._matchers: Dict[bytes, Callable[[bytes], bool]] = {}

    def copy(self) -> Selector:
        twin = Selector(self.registry, self.all_channels, self.warn)
        twin.allowed = self.allowed
        twin.all_commands = self.all_commands
        twin.future_commands = self.future_commands
        twin.command_rules = list(self.command_rules)
        twin.first_args = {number: list(words) for number, words in self.first_args.items()}
        twin.all_keys = self.all_keys
        twin.keys = dict(self.keys)
        twin.channels = dict(self.channels)
        return twin

    # Rules -----------------------------------------------------------------------------------------------------

    def obey(self, rule: bytes) -> None:
        """Change the selector by one rule; raises BadRule and then has changed nothing."""
        word = c_text(rule).lower()
        if word in (b"allkeys", b"~*"):
            self.all_keys = True
            self.keys.clear()
        elif word == b"resetkeys":
            self.all_keys = False
            self.keys.clear()
        elif word in (b"allchannels", b"&*"):
            self.all_channels = True
            self.channels.clear()
        elif word == b"resetchannels":
            self.all_channels = False
            self.channels.clear()
        elif word in (b"allcommands", b"+@all"):
            self.permit_all_commands(True)
        elif word in (b"nocommands", b"-@all"):
            self.permit_all_commands(False)
        elif word[:1] in (b"~", b"%"):
            self.add_keys(rule)
        elif word[:1] == b"&":
            self.add_channel(rule[1:])
        elif word[:2] in (b"+@", b"-@"):
            self.set_category(word[1:], word[:1] == b"+")
        elif word[:1] == b"+":
            self.allow(word[1:])
        elif word[:1] == b"-":
            spec = self.named(word[1:])
            self.set_commands([spec], False)
            self.note_rule(spec.name, False)
        else:
            raise BadRule(SYNTAX)

    def permit_all_commands(self, permitted: bool) -> None:
        self.allowed = (1 << len(self.registry.specs)) - 1 if permitted else 0
        self.all_commands = self.future_commands = permitted
        self.command_rules.clear()
        self.first_args.clear()

    def add_keys(self, rule: bytes) -> None:
        """`~pattern` and `%R~pattern`, `%W~`, `%RW~`: what is said of one pattern adds up."""
        if self.all_keys:
            raise BadRule(AFTER_ALL_KEYS)
        permission, at = BOTH, 1
        if rule[:1] == b"%":
            permission = 0
            while at < len(rule) and rule[at : at + 1] != b"~":
                bit = {b"R": READ, b"W": WRITE}.get(rule[at : at + 1].upper(), 0)
                if not bit or permission & bit:
                    raise BadRule(SYNTAX)
                permission |= bit
                at += 1
            at += 1
            if not permission:
                raise BadRule(SYNTAX)
        pattern = rule[at:]
        if has_spaces(pattern):
            raise BadRule(SYNTAX)
        self.keys[pattern] = self.keys.get(pattern, 0) | permission

    def add_channel(self, pattern: bytes) -> None:
        if self.all_channels:
            raise BadRule(AFTER_ALL_CHANNELS)
        if has_spaces(pattern):
            raise BadRule(SYNTAX)
        self.channels[pattern] = None

    def named(self, name: bytes) -> CommandSpec:
        spec = self.registry.originally(name)
        if spec is None:
            raise BadRule(UNKNOWN_NAME)
        return spec

    def allow(self, name: bytes) -> None:
        """A command, a subcommand, or a command with a certain first argument."""
        if b"|" not in name:
            spec = self.named(name)
            self.set_commands([spec], True)
            self.note_rule(spec.name, True)
            return
        container, _, last = name.rpartition(b"|")
        spec = self.named(container)
        if spec.parent is not None:
            raise BadRule(NOT_OF_SUBCOMMAND)
        if not last:
            raise BadRule(SYNTAX)
        if spec.subcommands is not None:
            self.set_commands([self.named(name)], True)
        else:
            words = self.first_args.setdefault(spec.id, [])
            if last not in words:
                words.append(last)
            if self.warn is not None:
                self.warn(FIRST_ARG_DEPRECATED % shown(name))
        self.note_rule(name, True)

    def set_category(self, name: bytes, allowed: bool) -> None:
        bit = CATEGORY_BITS.get(name[1:])
        if bit is None:
            raise BadRule(UNKNOWN_NAME)
        self.note_rule(name, allowed)
        self.set_commands([spec for spec in self.registry.specs if spec.categories & bit], allowed)

    def set_commands(self, specs: Sequence[CommandSpec], allowed: bool) -> None:
        for named in specs:
            self.first_args.pop(named.id, None)
            for spec in family(named):
                if allowed:
                    self.allowed |= 1 << spec.id
                else:
                    self.allowed &= ~(1 << spec.id)
                    self.all_commands = False

    def note_rule(self, name: bytes, allowed: bool) -> None:
        """Keep a rule about commands; what was said of them before no longer matters."""
        below = name + b"|"
        self.command_rules = [
            rule for rule in self.command_rules if rule[1:] != name and not rule[1:].startswith(below)
        ]
        self.command_rules.append((b"+" if allowed else b"-") + name)

    # Showing ---------------------------------------------------------------------------------------------------

    def commands_text(self) -> bytes:
        return b" ".join([b"+@all" if self.future_commands else b"-@all", *self.command_rules])

    def keys_text(self) -> bytes:
        if self.all_keys:
            return b"~*"
        return b" ".join([PERMISSION_PREFIX[permission] + pattern for pattern, permission in self.keys.items()])

    def channels_text(self) -> bytes:
        return b"&*" if self.all_channels else b" ".join([b"&" + pattern for pattern in self.channels])

    def text(self) -> bytes:
        """The rules that make this selector from an empty one."""
        words = [self.keys_text()]
        if not self.all_channels:
            words.append(b"resetchannels")
        words += [self.channels_text(), self.commands_text()]
        return b" ".join([word for word in words if word])

    # Verdicts --------------------------------------------------------------------------------------------------

    def judge(self, spec: CommandSpec, argv: Sequence[bytes]) -> Tuple[int, int]:
        """A verdict, and the position of the argument that it is about."""
        if not self.all_commands and not self.permits_command(spec, argv):
            return DENIED_COMMAND, 0
        if not self.all_keys and spec.has_keys:
            for at, flags in spec.keys_of(argv):
                if at < len(argv) and not self.permits_key(argv[at], flags):
                    return DENIED_KEY, at
        if not self.all_channels:
            place = CHANNELS.get(spec.name)
            if place is not None:
                only_one, is_pattern = place
                for at in range(1, 2 if only_one else len(argv)):
                    if not self.permits_channel(argv[at], is_pattern):
                        return DENIED_CHANNEL, at
        return ALLOWED, 0

    def permits_command(self, spec: CommandSpec, argv: Sequence[bytes]) -> bool:
        if self.allowed >> spec.id & 1 or spec.flags & NO_AUTH:
            return True
        words = self.first_args.get(spec.id)
        if not words or len(argv) < 2:
            return False
        return argv[1].lower() in words

    def permits_key(self, key: bytes, flags: int) -> bool:
        """Whether the key may be used as the flags of its specification say; metadata needs no permission but a
        pattern that matches."""
        needed = READ if flags & ACCESS else 0
        if flags & (INSERT | DELETE | UPDATE):
            needed |= WRITE
        for pattern, permission in self.keys.items():
            if permission & needed == needed and self.matches(pattern, key):
                return True
        return False

    def permits_channel(self, channel: bytes, is_pattern: bool) -> bool:
        """A channel must match a pattern; a pattern must be one of them, since what it covers is not compared."""
        if self.all_channels:
            return True
        if is_pattern:
            return channel in self.channels
        return any(self.matches(pattern, channel) for pattern in self.channels)

    def reads_all_keys(self) -> bool:
        """Whether keys that are only known while the command runs (SORT BY, GET) may be read."""
        return self.all_keys or bool(self.keys.get(b"*", 0) & READ)

    def matches(self, pattern: bytes, text: bytes) -> bool:
        matcher = self._matchers.get(pattern)
        if matcher is None:
            matcher = self._matchers[pattern] = compile_glob(pattern)
        return matcher(text)
