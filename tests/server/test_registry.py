"""The table of commands: what a declaration may say, and what is derived from it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from server import admission
from server import registry as r
from server.commands import all_groups
from server.keyfinders import bitfield_keys, georadius_keys, migrate_keys, set_keys, sort_keys, xread_keys
from server.keyspecs import (
    ACCESS,
    DELETE,
    INSERT,
    NOT_KEY,
    OW,
    RM,
    RO,
    RW,
    UPDATE,
    VARIABLE_FLAGS,
    find_keys,
    key_range,
    keyword,
    legacy_range,
    numkeys,
    one_key,
    unknown,
)
from tests.harness.processes import ROOT


def declare(group, name, arity, handler=None, **facts):
    def documented(ctx, argv):
        """Do something."""
        return name

    group.command(name, arity, **facts)(handler or documented)
    return group.specs[-1]


def make(*specs_of, group="generic"):
    """A spec declared alone: make("X", arity=2, ...)."""
    name, facts = specs_of
    return declare(r.Group(group), name, **facts)


@pytest.fixture
def registry():
    group = r.Group("generic")
    declare(group, "GET", arity=2, flags=r.READONLY, keys=one_key(RO | ACCESS))
    group.container("OBJECT", summary="Introspection.", help_since="6.2.0")
    declare(group, "OBJECT|ENCODING", arity=3, flags=r.READONLY, keys=one_key(RO, at=2), syntax="key")
    return r.Registry.of([group])


class TestContradictions:
    @pytest.mark.parametrize(
        "facts",
        [
            {"arity": 0},
            {"arity": 2, "flags": r.WRITE | r.READONLY},
            {"arity": 2, "since": "yesterday"},
            {"arity": 2, "keys": one_key(OW | UPDATE)},
            {"arity": 2, "keys": one_key(RM | DELETE), "flags": r.READONLY},
            {"arity": 2, "keys": one_key(ACCESS)},
            {"arity": 2, "keys": one_key(RO | RW)},
            {"arity": 2, "keys": one_key(RO, at=2)},
            {"arity": -3, "keys": key_range(RO, first=1, last=2)},
            {"arity": -2, "keys": key_range(RO, first=3)},
        ],
        ids=str,
    )
    def test_a_contradiction_is_refused_when_it_is_declared(self, facts):
        with pytest.raises(r.DeclarationError, match="^X: "):
            make("X", facts)

    def test_a_handler_without_a_docstring_is_refused(self):
        with pytest.raises(r.DeclarationError, match="no summary"):
            declare(r.Group("generic"), "X", arity=1, handler=lambda ctx, argv: None)

    def test_a_duplicate_is_refused_also_across_groups(self):
        one, other = r.Group("generic"), r.Group("string")
        declare(one, "X", arity=1)
        declare(other, "x", arity=2)
        with pytest.raises(r.DeclarationError, match="X is declared twice"):
            r.Registry.of([one, other])

    def test_a_duplicate_subcommand_is_refused(self):
        group = r.Group("generic")
        group.container("C", summary="A container.")
        declare(group, "C|HELP", arity=2)
        with pytest.raises(r.DeclarationError, match=r"C\|HELP is declared twice"):
            r.Registry.of([group])

    def test_a_subcommand_needs_its_container(self):
        group = r.Group("generic")
        declare(group, "NONE|SUB", arity=2)
        with pytest.raises(r.DeclarationError, match="its container is not"):
            r.Registry.of([group])

    def test_an_unknown_group_is_refused(self):
        with pytest.raises(r.DeclarationError):
            r.Group("strings")

    def test_a_container_may_stand_in_a_later_group_than_its_subcommands(self):
        first, second = r.Group("generic"), r.Group("generic")
        declare(first, "C|SUB", arity=2)
        second.container("C", summary="A container.")
        registry = r.Registry.of([first, second])
        assert sorted(registry.lookup(b"c").subcommands) == [b"help", b"sub"]

    def test_a_handler_with_two_declarations_stays_callable(self):
        group = r.Group("generic")

        @group.command("B", arity=1)
        @group.command("A", arity=1)
        def handler(ctx, argv):
            """Answer with the context."""
            return ctx

        assert handler(7, [b"A"]) == 7
        assert [spec.name for spec in group.specs] == [b"a", b"b"]


class TestLookup:
    def test_names_are_found_in_any_case(self, registry):
        assert registry.lookup(b"gEt").name == b"get"
        assert registry.lookup(b"Object|ENCODING").name == b"object|encoding"
        assert registry.lookup(b"object|nosuch") is None
        assert registry.lookup(b"nosuch|x") is None

    def test_a_vector_resolves_to_its_subcommand(self, registry):
        assert registry.resolve([b"Object", b"Encoding", b"k"]).name == b"object|encoding"
        assert registry.resolve([b"object"]).name == b"object"
        assert registry.resolve([b"object", b"nosuch"]) is None
        assert registry.resolve([b"get", b"encoding"]).name == b"get"

    def test_ids_number_commands_and_subcommands_without_gaps(self, registry):
        assert [spec.id for spec in registry.specs] == list(range(len(registry.specs)))
        assert len(registry) == 2 < len(registry.specs)

    def test_arity_counts_the_whole_vector(self, registry):
        get, container = registry.lookup(b"get"), registry.lookup(b"object")
        assert [get.accepts(argc) for argc in (1, 2, 3)] == [False, True, False]
        assert [container.accepts(argc) for argc in (1, 2, 9)] == [False, True, True]


class TestRefusals:
    def test_an_unknown_command_is_quoted_with_its_arguments(self, registry):
        assert registry.refusal_of([b"nosuch", b"a", b"b"]) == (
            b"ERR unknown command 'nosuch', with args beginning with: 'a' 'b' "
        )

    def test_what_is_quoted_ends_at_128_bytes(self):
        text = r.unknown_command([b"c" * 200, b"a" * 200, b"b"])
        assert text == (
            b"ERR unknown command '%s', with args beginning with: '%s' " % (b"c" * 128, b"a" * 128)
        )
        text = r.unknown_command([b"c", b"a" * 100, b"b" * 100, b"d"])
        assert text.endswith(b"'%s' '%s' " % (b"a" * 100, b"b" * 25))

    def test_a_line_break_cannot_end_the_error_line(self):
        assert r.unknown_command([b"x\r\n+OK"]) == b"ERR unknown command 'x  +OK', with args beginning with: "

    def test_a_zero_byte_ends_what_is_quoted(self):
        assert r.unknown_command([b"ab\0c", b"d\0e"]) == (
            b"ERR unknown command 'ab', with args beginning with: 'd' "
        )

    def test_an_unknown_subcommand_points_to_help(self, registry):
        assert registry.refusal_of([b"object", b"What"]) == b"ERR unknown subcommand 'What'. Try OBJECT HELP."

    def test_wrong_arity_names_the_subcommand_in_lower_case(self, registry):
        assert r.wrong_arity(registry.lookup(b"object|encoding")) == (
            b"ERR wrong number of arguments for 'object|encoding' command"
        )


class TestCategories:
    def names(self, flags, group="string", acl=()):
        spec = make("X", {"arity": 1, "flags": flags, "acl": acl}, group=group)
        return spec.category_names()

    def test_flags_and_group_imply_categories_in_the_order_of_acl_cat(self):
        assert self.names(r.WRITE | r.FAST) == [b"write", b"string", b"fast"]
        assert self.names(r.READONLY) == [b"read", b"string", b"slow"]
        assert self.names(r.ADMIN, group="server") == [b"admin", b"slow", b"dangerous"]
        assert self.names(r.BLOCKING, group="list") == [b"list", b"slow", b"blocking"]

    def test_a_readonly_script_is_no_read(self):
        assert self.names(r.READONLY, group="scripting") == [b"slow", b"scripting"]

    def test_extra_categories_add_and_take_back(self):
        names = self.names(r.READONLY, group="generic", acl=("dangerous", "-keyspace"))
        assert names == [b"read", b"slow", b"dangerous"]

    def test_a_container_grants_nothing(self):
        group = r.Group("generic")
        group.container("C", summary="A container.")
        assert [spec.category_names() for spec in group.specs] == [[b"slow"], [b"keyspace", b"slow"]]


class TestKeys:
    def keys(self, argv, *specs, keys_by=None):
        return make("X", {"arity": -1000, "flags": r.WRITE, "keys": specs, "keys_by": keys_by}).keys_of(
            [word.encode() for word in argv.split()]
        )

    def test_a_range_may_end_before_the_last_argument(self):
        assert self.keys("blpop a b 0", key_range(RW, last=-2)) == [(1, RW), (2, RW)]

    def test_a_range_may_step(self):
        assert self.keys("mset a 1 b 2", key_range(OW, step=2)) == [(1, OW), (3, OW)]

    def test_a_count_says_how_many_keys_follow(self):
        assert self.keys("eval s 2 a b c", numkeys(RW, at=2)) == [(3, RW), (4, RW)]
        assert self.keys("eval s 0 a", numkeys(RW, at=2)) == []

    @pytest.mark.parametrize("count", ["3", "-1", "x", "99999999999999999999", "+3"])
    def test_a_count_that_does_not_fit_finds_nothing(self, count):
        assert self.keys(f"eval s {count} a b", numkeys(RW, at=2)) == []

    @pytest.mark.parametrize("count", ["+1", "1x", "01", "\t1", "4294967297", "1.5"])
    def test_a_count_that_only_atoi_reads_finds_keys_without_flags_and_the_destination_last(self, count):
        specs = (one_key(OW), numkeys(RO, at=2))
        assert find_keys(specs, None, [b"zunionstore", b"d", count.encode(), b"a"]) == [(3, 0), (1, 0)]

    def test_a_keyword_is_found_in_any_case_and_halves_what_follows(self):
        streams = keyword(RO, b"STREAMS", last=-1, limit=2)
        assert self.keys("xread count 1 sTreams a b 0 0", streams) == [(4, RO), (5, RO)]
        assert self.keys("xread a b", streams) == []

    def test_a_destination_counts_although_its_range_of_sources_is_empty(self):
        specs = (one_key(RW | INSERT), key_range(RO, first=2))
        assert self.keys("pfmerge d", *specs) == [(1, RW | INSERT)]

    def test_a_channel_is_no_key(self):
        assert self.keys("spublish c m", one_key(NOT_KEY)) == []
        spec = make("X", {"arity": 2, "keys": one_key(NOT_KEY)})
        assert not spec.has_keys

    def test_flags_that_vary_are_left_to_the_finder(self):
        key = one_key(RW | ACCESS | UPDATE | VARIABLE_FLAGS)
        assert self.keys("set k v get", key, keys_by=set_keys) == [(1, RW | ACCESS | UPDATE)]
        assert self.keys("set k v nx", key, keys_by=set_keys) == [(1, OW | UPDATE)]

    @pytest.mark.parametrize(
        ("specs", "expected"),
        [
            ((one_key(RO),), (1, 1, 1, False)),
            ((key_range(RO),), (1, -1, 1, False)),
            ((key_range(RO, step=2),), (1, -1, 2, False)),
            ((one_key(OW), key_range(RO, first=2)), (1, -1, 1, False)),
            ((one_key(RO), one_key(OW, at=2)), (1, 2, 1, False)),
            ((one_key(RO), unknown(RO)), (1, 1, 1, True)),
            ((numkeys(RO, at=1),), (0, 0, 0, True)),
            ((one_key(RO), one_key(OW, at=3)), (1, 1, 1, True)),
            ((), (0, 0, 0, False)),
        ],
    )
    def test_the_old_triple_says_whether_it_misses_keys(self, specs, expected):
        assert legacy_range(specs) == expected


READ, WRITTEN = RO | ACCESS, OW | UPDATE


@pytest.mark.parametrize(
    ("finder", "line", "expected"),
    [
        (bitfield_keys, "bitfield k get u8 0 overflow wrap get u8 8", [(1, READ)]),
        (bitfield_keys, "bitfield k get u8 0 incrby u8 0 1", [(1, RW | ACCESS | UPDATE)]),
        (bitfield_keys, "bitfield k get u8", [(1, RW | ACCESS | UPDATE)]),
        (sort_keys, "sort k by w limit 0 store get store store d", [(1, READ), (10, WRITTEN)]),
        (sort_keys, "sort k store a store b", [(1, READ), (5, WRITTEN)]),
        (sort_keys, "sort k get store", [(1, READ)]),
        (sort_keys, "sort k store", [(1, READ)]),
        (migrate_keys, "migrate h 1 k 0 5 copy", [(3, RW | ACCESS | DELETE)]),
        (migrate_keys, "migrate h 1 k 0 5 auth keys", [(3, RW | ACCESS | DELETE)]),
        (migrate_keys, "migrate h 1 k 0 5 keys a", []),
        (georadius_keys, "georadius k 0 0 1 m store a storedist b", [(1, READ), (9, WRITTEN)]),
        (georadius_keys, "georadius k 0 0 1 m asc", [(1, READ)]),
        (xread_keys, "xreadgroup group streams streams count 1 streams a 0", [(7, READ)]),
        (xread_keys, "xread streams a b 0", []),
        (xread_keys, "xread nonsense streams a 0", []),
    ],
)
def test_finders_read_the_grammar_of_their_command(finder, line, expected):
    assert finder([word.encode() for word in line.split()]) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("georadius k 0 0 1 storedist a b", [(1, READ)]),  # where the unit stands, it is no option
        ("georadius k 0 0 1 m store a", [(1, READ), (7, WRITTEN)]),
        ("migrate h 1 k 0 5 keys", [(3, RW | ACCESS | DELETE)]),  # nothing follows
        ("migrate h 1 k 0 5 keys a", []),
        ("xread nonsense", []),
    ],
)
def test_a_keyword_that_is_not_there_names_no_keys(line, expected):
    from server.commands import all_groups

    argv = [word.encode() for word in line.split()]
    spec = r.Registry.of(all_groups()).resolve(argv)
    assert spec.keys_of(argv) == expected


def test_migrate_takes_its_keys_from_the_end_when_the_key_is_empty():
    argv = [b"migrate", b"h", b"1", b"", b"0", b"5", b"auth2", b"keys", b"p", b"keys", b"a", b"b"]
    assert [at for at, _ in migrate_keys(argv)] == [10, 11]


def test_the_declarations_of_this_server_are_one_registry_with_real_summaries():
    registry = r.Registry.of(all_groups())
    for spec in registry.specs:
        assert "TODO" not in spec.summary
        assert spec.summary.endswith("."), spec
        assert spec.handler is not None or spec.subcommands, spec


def test_every_container_of_this_server_has_help():
    for spec in r.Registry.of(all_groups()):
        if spec.subcommands:
            assert b"help" in spec.subcommands, spec


def test_each_condition_of_admission_has_a_bit_of_its_own():
    bits = [value for name, value in vars(admission).items() if name.isupper() and name != "EVERY_COMMAND"]
    assert len(set(bits)) == len(bits) and all(bit & (bit - 1) == 0 for bit in bits)


def test_commands_are_declared_where_python_leaves_docstrings_out():
    program = "from server.commands import all_groups; from server.registry import Registry; Registry.of(all_groups())"
    subprocess.run([sys.executable, "-OO", "-c", program], cwd=ROOT, check=True)
