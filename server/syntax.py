"""The notation of a command's arguments, and what is made of it: COMMAND DOCS' argument tree and HELP.

A declaration writes its arguments as a reader of the manual knows them:

    key value [NX | XX] [GET] expiration=[EX seconds | PX milliseconds | KEEPTTL]

- `word` in lower case is an argument and `WORD` a fixed token; a token directly before an argument or a group
  announces it (`EX seconds`), otherwise it stands for itself. A token of other characters is quoted: `'~'`.
- `( )` groups, `[ ]` groups and makes optional, `|` parts alternatives. A group of one is its element.
- `...` repeats what precedes it. `[WEIGHTS weight...]` has one token, `[PREFIX prefix]...` one for each.
- `name=` before an element names it, where a default (see the tables) would not.
- `:type` gives a type, where the name does not tell; `{text}` what is displayed instead of the name; `#n` the
  key specification, where it is not the next one; `@1.2.3` since when; `!1.2.3` since when it is deprecated.

Nothing here runs before a client asks for COMMAND DOCS or HELP. This module knows no command.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Optional

    from server.registry import CommandSpec

STRING, INTEGER, DOUBLE, KEY, PATTERN = "string", "integer", "double", "key", "pattern"
UNIX_TIME, PURE_TOKEN, ONEOF, BLOCK = "unix-time", "pure-token", "oneof", "block"
TYPES = frozenset((STRING, INTEGER, DOUBLE, KEY, PATTERN, UNIX_TIME, PURE_TOKEN, ONEOF, BLOCK))

TYPE_OF_NAME = {}
for _type, _names in (
    (KEY, "key key1 key2 newkey destkey sourcekey storekey storedistkey keys source destination dst src"),
    (
        INTEGER,
        "seconds milliseconds ms count offset index index1 index2 start stop end db destination-db numkeys"
        " numfields numreplicas numlocal increment decrement cursor limit rank len slot start-slot end-slot"
        " client-id port cluster-bus-port weight frequency ttl bit bits protover entriesread entries-added"
        " config-epoch num-matches maxage min-match-len version",
    ),
    (DOUBLE, "longitude latitude radius width height score timeout min max"),
    (PATTERN, "pattern by-pattern get-pattern"),
    (UNIX_TIME, "unix-time-seconds unix-time-milliseconds"),
):
    for _name in _names.split():
        TYPE_OF_NAME[_name] = _type
del _type, _names, _name

# A token is named by itself in lower case, but for these.
NAME_OF_TOKEN = {
    "=": "equal",
    "~": "approximately",
    "*": "auto-id",
    "$": "new-id",
    "": "empty-string",
    "CH": "change",
    "ALPHA": "sorting",
}

# Alternatives that mean the same wherever they occur.
NAME_OF_ALTERNATIVES = {
    ("nx", "xx"): "condition",
    ("nx", "xx", "gt", "lt"): "condition",
    ("gt", "lt"): "comparison",
    ("left", "right"): "where",
    ("min", "max"): "where",
    ("asc", "desc"): "order",
    ("m", "km", "ft", "mi"): "unit",
    ("byte", "bit"): "unit",
    ("async", "sync"): "flush-type",
    ("byscore", "bylex"): "sortby",
    ("maxlen", "minid"): "strategy",
    ("equal", "approximately"): "operator",
    ("on", "off"): "enabled",
    ("yes", "no"): "mode",
    ("auto-id", "id"): "id-selector",
    ("id", "new-id"): "id-selector",
}
NAME_OF_REPEATED_BLOCK = "data"

_LEXEME = re.compile(
    r"\s+|(?P<label>[a-z][a-z0-9-]*)=|(?P<word>[A-Za-z][A-Za-z0-9-]*)|'(?P<quoted>[^']*)'|(?P<sign>\.\.\.|[()\[\]|])"
    r"|:(?P<type>[a-z-]+)|\{(?P<display>[^}]*)\}|#(?P<spec>\d+)|@(?P<since>\d+(?:\.\d+)*)|!(?P<until>\d+(?:\.\d+)*)"
)
OPENINGS = (("sign", "("), ("sign", "["))


class SyntaxNotationError(Exception):
    """A declaration's syntax is not in the notation."""


class Argument:
    """One argument as COMMAND DOCS describes it; `arguments` are those of a oneof or a block."""

    __slots__ = (
        "name",
        "type",
        "token",
        "optional",
        "multiple",
        "multiple_token",
        "key_spec_index",
        "display",
        "since",
        "deprecated_since",
        "arguments",
    )

    def __init__(self, name: str, type_: str, arguments: Sequence[Argument] = ()) -> None:
        self.name = name
        self.type = type_
        self.token: Optional[str] = None
        self.optional = False
        self.multiple = False
        self.multiple_token = False
        self.key_spec_index = -1
        self.display = ""
        self.since = ""
        self.deprecated_since = ""
        self.arguments = arguments

    def flag_names(self) -> list[str]:
        flags = (
            (self.optional, "optional"),
            (self.multiple, "multiple"),
            (self.multiple_token, "multiple_token"),
        )
        return [name for holds, name in flags if holds]


class _Parser:
    """Recursive descent over the lexemes of one syntax text."""

    __slots__ = ("text", "lexemes", "at", "next_key_spec")

    def __init__(self, text: str) -> None:
        self.text = text
        self.lexemes: list[tuple[str, str]] = []
        self.at = 0
        self.next_key_spec = 0
        position = 0
        while position < len(text):
            match = _LEXEME.match(text, position)
            if match is None:
                raise SyntaxNotationError(f"{text[position:]!r} in {text!r}")
            if match.lastgroup is not None:
                self.lexemes.append((match.lastgroup, match.group(match.lastgroup)))
            position = match.end()

    def parse(self) -> list[Argument]:
        arguments = self._sequence()
        if self.at < len(self.lexemes):
            self._fail("unbalanced")
        self._name_groups(arguments)
        return arguments

    def _name_groups(self, arguments: Sequence[Argument]) -> None:
        """Name what has neither label nor default; last, since a label may stand outside its group."""
        for argument in arguments:
            if not argument.name:
                if argument.type != BLOCK or not argument.multiple:
                    self._fail("a group needs a name")
                argument.name = NAME_OF_REPEATED_BLOCK
            self._name_groups(argument.arguments)

    def _fail(self, reason: str) -> None:
        raise SyntaxNotationError(f"{reason}: {self.text!r}")

    def _peek(self) -> tuple[str, str]:
        return self.lexemes[self.at] if self.at < len(self.lexemes) else ("", "")

    def _skip(self, kind: str, value: str = "") -> bool:
        found_kind, found = self._peek()
        if found_kind == kind and (not value or found == value):
            self.at += 1
            return True
        return False

    def _sequence(self) -> list[Argument]:
        arguments = []
        while self._peek()[0] in ("label", "word", "quoted") or self._peek() in OPENINGS:
            arguments.append(self._element())
        return arguments

    def _element(self) -> Argument:
        label = ""
        kind, value = self._peek()
        if kind == "label":
            self.at += 1
            label = value
            kind, value = self._peek()
        token = None
        if kind == "quoted" or (kind == "word" and not value[0].islower()):
            token = value
            self.at += 1
            kind, value = self._peek()
            if not (kind == "word" and value[0].islower()) and (kind, value) != ("sign", "("):
                return self._modified(self._pure_token(token, label))
        if kind == "word":
            self.at += 1
            argument = Argument(label or value, "")
        elif self._skip("sign", "("):
            argument = self._group(")", label, token)
        elif self._skip("sign", "["):
            argument = self._group("]", label, token)
            argument.optional = True
        else:
            self._fail("an argument is missing")
        if token is not None:
            argument.token = token
        return self._modified(argument)

    @staticmethod
    def _pure_token(token: str, label: str) -> Argument:
        argument = Argument(label or NAME_OF_TOKEN.get(token, token.lower()), PURE_TOKEN)
        argument.token = token
        return argument

    def _modified(self, argument: Argument) -> Argument:
        """Read what follows an element, and settle what was left open."""
        is_closed = argument.optional
        while True:
            kind, value = self._peek()
            if kind == "type":
                if value not in TYPES:
                    self._fail(f"no type {value}")
                argument.type = value
            elif kind == "display":
                argument.display = value
            elif kind == "spec":
                argument.key_spec_index = int(value)
                self.next_key_spec = int(value) + 1
            elif kind == "since":
                argument.since = value
            elif kind == "until":
                argument.deprecated_since = value
            elif (kind, value) == ("sign", "..."):
                argument.multiple = True
                # After the bracket that holds the token the dots repeat both.
                argument.multiple_token = is_closed and argument.token is not None
            else:
                break
            self.at += 1
        if not argument.type:
            argument.type = TYPE_OF_NAME.get(argument.name, STRING)
        if argument.type == KEY and argument.key_spec_index < 0:
            argument.key_spec_index = self.next_key_spec
            self.next_key_spec += 1
        return argument

    def _group(self, closing: str, label: str, token: Optional[str]) -> Argument:
        alternatives = [self._sequence()]
        while self._skip("sign", "|"):
            alternatives.append(self._sequence())
        if not self._skip("sign", closing):
            self._fail(f"no {closing}")
        if len(alternatives) == 1:
            members = alternatives[0]
            if len(members) == 1 and token is None:
                if label:
                    members[0].name = label
                return members[0]
            return Argument(label or (token or "").lower(), BLOCK, members)
        members = []
        for alternative in alternatives:
            if len(alternative) != 1:
                self._fail("an alternative of several arguments needs parentheses and a name")
            members.append(alternative[0])
        name = label or (token or "").lower() or NAME_OF_ALTERNATIVES.get(tuple(m.name for m in members), "")
        return Argument(name, ONEOF, members)


def parse(text: str) -> list[Argument]:
    """Return the argument tree of a syntax text; raises SyntaxNotationError."""
    return _Parser(text).parse()


def usage(arguments: Sequence[Argument]) -> str:
    """Write arguments on one line as HELP does: `<key> [NX|XX] [<count>]`."""
    return " ".join(_usage_of(argument) for argument in arguments)


def _usage_of(argument: Argument) -> str:
    text = _repeated(argument, _usage_of_one(argument))
    return f"[{text}]" if argument.optional else text


def _usage_of_one(argument: Argument) -> str:
    """One occurrence, without its token but for a token that stands for itself."""
    if argument.type == PURE_TOKEN:
        return argument.token or '""'
    if argument.type == BLOCK:
        return usage(argument.arguments)
    if argument.type == ONEOF:
        alternatives = [_repeated(member, _usage_of_one(member)) for member in argument.arguments]
        text = "|".join(alternatives)
        is_alone = argument.optional and argument.token is None and not argument.multiple
        return text if is_alone else f"({text})"
    return f"<{argument.display or argument.name}>"


def _repeated(argument: Argument, text: str) -> str:
    """Add token and repetition; alternatives of many parts repeat as dots."""
    token = "" if argument.token is None or argument.type == PURE_TOKEN else f"{argument.token} "
    if not argument.multiple:
        return token + text
    if argument.type == ONEOF:
        return f"{token}{text} ..."
    if argument.multiple_token:
        return f"{token}{text} [{token}{text} ...]"
    if argument.optional and not token:
        return f"{text} ..."
    return f"{token}{text} [{text} ...]"


# Where Redis breaks the lines of HELP.
HELP_COLUMNS = 80
HELP_INDENT = "    "


def help_lines(container: CommandSpec, called: bytes) -> list[object]:
    """Return the reply of a container's HELP: each subcommand with its arguments, then what it does.

    `called` is what the client said, which may be the container's new name.
    """
    import textwrap

    from protocol.reply import Status

    lines = [f"{called.decode('latin-1').upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    if container.handler is not None:
        lines += ["(no subcommand)", HELP_INDENT + container.summary]
    for own_name, spec in sorted((container.subcommands or {}).items()):
        if own_name == b"help":
            continue  # stands last
        lines.append(f"{own_name.decode().upper()} {usage(parse(spec.syntax))}".rstrip())
        lines += textwrap.wrap(
            spec.summary, HELP_COLUMNS, initial_indent=HELP_INDENT, subsequent_indent=HELP_INDENT
        )
    lines += ["HELP", HELP_INDENT + "Print this help."]
    return [Status(line.encode()) for line in lines]
