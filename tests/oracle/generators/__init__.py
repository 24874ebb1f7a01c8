"""One module per command group: `OWN`, the letter of its keys, and `TEMPLATES`.

A group's sequence is mostly its own templates, with some of the generic ones (so that keys are renamed,
copied and get deadlines) and some that make other types (so that commands meet the wrong one).
"""

from __future__ import annotations

from importlib import import_module
from random import Random

from tests.oracle.grammar import Template, templates
from tests.oracle.vocabulary import Vocabulary

GROUPS = (
    "strings",
    "generic",
    "connection",
    "lists",
    "hashes",
    "sets",
    "sorted_sets",
    "bitmaps",
    "hyperloglog",
    "geo",
    "sort",
    "streams",
    "introspection",
)
# Makes keys of every type for the others to trip over.
OTHER_TYPES = templates("""
    SET anykey value
    RPUSH anykey value*
    HSET anykey (member value)*
    SADD anykey member*
    ZADD anykey (float member)*
    DEL anykey
""")
# Wrong on purpose, everywhere but in commands whose deadlines or luck would then decide the rest.
NEVER_MANGLED = frozenset(
    "EXPIRE PEXPIRE EXPIREAT PEXPIREAT SETEX PSETEX GETEX HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT SPOP RESTORE XADD "
    "BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP XREAD XREADGROUP SHUTDOWN QUIT FLUSHALL SWAPDB "
    "AUTH COMMAND WAIT WAITAOF CLIENT DEBUG CONFIG SCAN HSCAN SSCAN ZSCAN SETRANGE SETBIT SUBSCRIBE HELLO RESET SELECT".split()
)
MANGLED_SHARE = 0.04
OWN_SHARE = 0.82
GENERIC_SHARE = 0.1


class Generator:
    """An endless source of commands of one group, the same for the same seed.

    `is_known` says which command names both servers have: a template that names another is left out.
    """

    def __init__(self, group: str, seed: str, is_known=lambda name: True) -> None:
        module = import_module(f"tests.oracle.generators.{group}")
        self.words = Vocabulary(Random(seed), module.OWN)
        self.own = self._known(module.TEMPLATES, is_known)
        generic = import_module("tests.oracle.generators.generic")
        self.generic = self._known(generic.TEMPLATES, is_known) if group != "connection" else self.own
        self.other = self._known(OTHER_TYPES, is_known)

    @staticmethod
    def _known(table: list[Template], is_known) -> tuple[list[Template], list[float]]:
        kept = [entry for entry in table if all(is_known(name) for name in entry.names)]
        total, sums = 0.0, []
        for entry in kept:
            total += entry.weight
            sums.append(total)
        return kept, sums

    def take(self, count: int) -> list[list[bytes]]:
        """Return the next commands, at least `count` of them."""
        words = self.words
        random = words.random
        commands: list[list[bytes]] = []
        if not self.own[0]:
            return commands
        while len(commands) < count:
            chance = random.random()
            table = self.own
            if chance > OWN_SHARE and self.other[0]:
                table = self.generic if chance < OWN_SHARE + GENERIC_SHARE and self.generic[0] else self.other
            (chosen,) = random.choices(table[0], cum_weights=table[1])
            for maker in chosen.makers:
                argv: list[bytes] = []
                maker(words, argv)
                commands.append(argv)
            if len(chosen.makers) == 1 and random.random() < MANGLED_SHARE:
                self._mangle(commands[-1])
        return commands

    def _mangle(self, argv: list[bytes]) -> None:
        if argv[0].decode("latin-1").upper() in NEVER_MANGLED:
            return
        words = self.words
        how = words.random.randrange(6)
        at = words.random.randrange(1, len(argv)) if len(argv) > 1 else 0
        if how == 0 or not at:
            argv.append(words.junk())
        elif how == 1:
            argv.pop()
        elif how == 2:
            argv[at] = words.junk()
        elif how == 3:
            argv.insert(at, argv[at])
        elif how == 4:
            argv[0] = argv[0].lower() if words.chance() < 0.5 else argv[0].title()
        else:
            del argv[1:]
