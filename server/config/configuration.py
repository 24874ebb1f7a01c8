"""The values of all directives, and CONFIG GET and SET on them.

Owns the values (plain attributes, named like the directives with underscores, see `kinds` and `special`
for their types), which of them may change and the hooks that hear of changes. A change is all or nothing:
a value, or a hook, that refuses puts everything back. Must not know what a value is used for. Hooks are
called after all values of one CONFIG SET stand, each hook once.
"""

from __future__ import annotations

import os

from server.config.directives import declare_directives
from server.config.kinds import (
    DENY_LOADING,
    HIDDEN,
    IMMUTABLE,
    MULTIPLE,
    PROTECTED,
    SENSITIVE,
    Directive,
    Refused,
)
from storage.errors import LOADING, SYNTAX_ERROR, CommandError
from storage.globbing import compile_glob
from storage.text import UnbalancedQuotes, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Callable, Optional

    # Makes a change effective; answers with a reason when it cannot.
    Apply = Callable[["Config"], Optional[str]]
    # Takes a directive's words (name first) at start-up; answers with a reason to refuse them.
    TakeWords = Callable[[Sequence[bytes]], Optional[str]]

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

NOT_APPLIED = "Failed applying new configuration. Possibly related to new %s setting. Restoring previous settings."


class Config:
    """Values by attribute: `config.maxmemory`. Parts may assign them, too (REPLICAOF does)."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self) -> None:
        self._directives = declare_directives()
        self._by_name: dict[str, Directive] = {}
        self._hooks: dict[str, list[Apply]] = {}
        self._mirrors: list[tuple[Any, tuple[str, ...]]] = []
        self._save_was_read = False
        old_names = {}
        for directive in self._directives:
            self._by_name[directive.name] = directive
            if directive.old_name:
                old_names[directive.old_name] = directive
            setattr(self, directive.attribute, directive.default)
        self._by_name.update(old_names)
        self.dir = self.started_in = os.getcwdb()  # `dir` changes, where the process began does not
        self.config_file = b""  # absolute path, b"" without one
        # What start-up read for other parts: the words of each `user` and `rename-command` line.
        self.users: list[list[bytes]] = []
        self.renamed_commands: list[list[bytes]] = []
        # The lines of all users for CONFIG REWRITE; without it `user` lines in the file stay as they are.
        self.user_lines: Optional[Callable[[], list[bytes]]] = None
        # Told of a change that was accepted but could not be put into effect.
        self.warn: Callable[[str], None] = lambda text: None

    # ------------------------------------------------------------------------------------------- reading

    def directives(self) -> list[Directive]:
        """All directives in order, without old names."""
        return self._directives

    def find(self, name: bytes) -> Optional[Directive]:
        """The directive of this name (any case, old names too)."""
        return self._by_name.get(name.decode("latin-1").lower())

    def value_of(self, directive: Directive) -> Any:
        """The present value."""
        return getattr(self, directive.attribute)

    def is_sensitive(self, name: bytes) -> bool:
        """Say whether the value is a secret that no log and no monitor may show."""
        directive = self.find(name)
        return directive is not None and directive.flags & SENSITIVE != 0

    def get(self, patterns: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """Names and values as CONFIG GET answers them; a name without wildcards as it is spelled."""
        matches: dict[bytes, Directive] = {}
        named = set()  # names in lower case
        for pattern in patterns:
            if b"*" not in pattern and b"?" not in pattern and b"[" not in pattern:
                asked = self.find(pattern)
                lowered = pattern.lower()
                if asked is not None and lowered not in named:
                    named.add(lowered)
                    matches[pattern] = asked
                continue
            is_match = compile_glob(pattern, nocase=True)
            for name, directive in self._by_name.items():
                encoded = name.encode()
                if not directive.flags & HIDDEN and encoded not in named and is_match(encoded):
                    named.add(encoded)
                    matches[encoded] = directive
        return [(name, directive.show(self.value_of(directive))) for name, directive in matches.items()]

    # ------------------------------------------------------------------------------------------- changing

    def on_change(self, name: str, apply: Apply) -> None:
        """Call `apply(config)` after CONFIG SET changed the directive; a text it returns refuses the change.

        After a refusal the values are put back, and the hooks called so far are called once more with them.
        """
        self._hooks.setdefault(self._by_name[name].attribute, []).append(apply)

    def mirror(self, target: Any, attributes: Iterable[str]) -> None:
        """Keep attributes of `target` equal to the values of the same names, now and after each change."""
        names = tuple(attributes)
        self._mirrors.append((target, names))
        for name in names:
            setattr(target, name, getattr(self, name))

    def set(
        self, pairs: Sequence[tuple[bytes, bytes]], from_loopback: bool = False, loading: bool = False
    ) -> None:
        """CONFIG SET: all pairs or none. Raises CommandError with Redis's text.

        `from_loopback` says that the client is one of those whom "local" in enable-protected-configs means.
        """
        if not pairs:
            raise CommandError(SYNTAX_ERROR)
        chosen = self._admit(pairs, from_loopback, loading)
        before = [self.value_of(directive) for _, directive in chosen]
        hooks: list[tuple[str, Apply]] = []
        called: list[Apply] = []
        done = 0
        name = ""
        try:
            for (name, directive), (_, text) in zip(chosen, pairs):
                value = directive.accept(_words_of(directive, text), self.value_of(directive))
                done += 1
                if value == self.value_of(directive) and not directive.flags & MULTIPLE:
                    continue
                self._assign(directive, value)
                for hook in self._hooks.get(directive.attribute, ()):
                    if all(hook is not known for _, known in hooks):
                        hooks.append((name, hook))
            for name, hook in hooks:  # noqa: B007
                called.append(hook)
                reason = hook(self)
                if reason is not None:
                    self.warn(NOT_APPLIED % name)
                    raise Refused(reason)
        except Refused as refusal:
            for (_, directive), value in zip(chosen[:done], before):
                self._restore(directive, value)
            for hook in called:
                hook(self)
            raise _failed(name.encode("latin-1"), refusal.reason) from None

    def _admit(
        self, pairs: Sequence[tuple[bytes, bytes]], from_loopback: bool, loading: bool
    ) -> list[tuple[str, Directive]]:
        chosen: list[tuple[str, Directive]] = []
        guard = self.enable_protected_configs
        may_touch_protected = guard == "yes" or (guard == "local" and from_loopback)
        for asked, _ in pairs:
            name = asked.decode("latin-1").lower()
            directive = self._by_name.get(name)
            if directive is None:
                text = b"ERR Unknown option or number of arguments for CONFIG SET - '%s'" % asked
                raise CommandError(text.translate(_ONE_LINE))
            if directive.flags & IMMUTABLE:
                raise _failed(asked, "can't set immutable config")
            if directive.flags & PROTECTED and not may_touch_protected:
                raise _failed(asked, "can't set protected config")
            if loading and directive.flags & DENY_LOADING:
                raise CommandError(LOADING)
            if any(name == known for known, _ in chosen):
                raise _failed(asked, "duplicate parameter")
            chosen.append((name, directive))
        return chosen

    def _assign(self, directive: Directive, value: Any) -> None:
        value = directive.assign(value)
        attribute = directive.attribute
        setattr(self, attribute, value)
        for target, names in self._mirrors:
            if attribute in names:
                setattr(target, attribute, value)

    def _restore(self, directive: Directive, value: Any) -> None:
        try:
            self._assign(directive, value)
        except Refused:
            setattr(self, directive.attribute, value)  # such as a directory that was removed in the meantime

    # ------------------------------------------------------------------------------------------- start-up

    def take(self, words: Sequence[bytes]) -> Optional[str]:
        """Obey one line of the file: a directive's name and its arguments. Returns why it cannot, or None.

        Knows directives only; `include`, `user` and the like belong to the reader of files.
        """
        directive = self.find(words[0])
        if directive is None:
            return "Bad directive or wrong number of arguments"
        arguments = list(words[1:])
        if directive.flags & MULTIPLE:
            if len(arguments) == 1:
                try:
                    arguments = split_arguments(arguments[0])
                except UnbalancedQuotes:
                    return "Unbalanced quotes in configuration line"
        elif len(arguments) != 1:
            return "wrong number of arguments"
        current = self.value_of(directive)
        try:
            value = directive.accept(arguments, current)
            if directive.attribute == "save":
                # The first line replaces the default, the next ones add to it, an empty one begins again.
                if self._save_was_read and value:
                    value = current + value
                self._save_was_read = True
            self._assign(directive, value)
        except Refused as refusal:
            return refusal.reason
        return None

    # ------------------------------------------------------------------------------------------- the file

    def rewrite(self, everything: bool = False) -> None:
        """CONFIG REWRITE: bring the file up to date. Raises CommandError when it cannot.

        `everything` writes defaults too, which a file does not need.
        """
        from server.config.rewriting import rewrite_file

        if not self.config_file:
            raise CommandError(b"ERR The server is running without a config file")
        try:
            rewrite_file(self, everything)
        except OSError as error:
            reason = (error.strerror or str(error)).encode("utf-8", "replace")
            raise CommandError(b"ERR Rewriting config file: " + reason) from error


def _words_of(directive: Directive, text: bytes) -> list[bytes]:
    if directive.flags & MULTIPLE:
        return text.split(b" ") if text else []
    return [text]


def _failed(name: bytes, reason: str) -> CommandError:
    text = b"ERR CONFIG SET failed (possibly related to argument '%s') - " % name
    return CommandError((text + reason.encode("utf-8", "replace")).translate(_ONE_LINE))
