"""The notation of arguments: what COMMAND DOCS and HELP make of it."""

from __future__ import annotations

import pytest

from server.commands import all_groups
from server.registry import Group, Registry
from server.syntax import SyntaxNotationError, help_lines, parse, usage


def shape(arguments):
    """A tree as nested tuples: (name, type, token, flags, members)."""
    return [
        (a.name, a.type, a.token, " ".join(a.flag_names()), shape(a.arguments))
        if a.arguments
        else (a.name, a.type, a.token, " ".join(a.flag_names()))
        for a in arguments
    ]


NX_XX = [("nx", "pure-token", "NX", ""), ("xx", "pure-token", "XX", "")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("key value", [("key", "key", None, ""), ("value", "string", None, "")]),
        ("key...", [("key", "key", None, "multiple")]),
        ("[member...]", [("member", "string", None, "optional multiple")]),
        ("EX seconds", [("seconds", "integer", "EX", "")]),
        ("[COUNT count]", [("count", "integer", "COUNT", "optional")]),
        ("[NX | XX]", [("condition", "oneof", None, "optional", NX_XX)]),
        ("(NX | XX)", [("condition", "oneof", None, "", NX_XX)]),
        ("rule=[NX | XX]", [("rule", "oneof", None, "optional", NX_XX)]),
        ("[WEIGHTS weight...]", [("weight", "integer", "WEIGHTS", "optional multiple")]),
        ("[PREFIX prefix]...", [("prefix", "string", "PREFIX", "optional multiple multiple_token")]),
        ("change=CH", [("change", "pure-token", "CH", "")]),
        ("NO ONE", [("no", "pure-token", "NO", ""), ("one", "pure-token", "ONE", "")]),
        ("'~' threshold", [("threshold", "string", "~", "")]),
        ("['=' | '~']", None),
        ("timeout:integer", [("timeout", "integer", None, "")]),
        (
            "(field value)...",
            [
                (
                    "data",
                    "block",
                    None,
                    "multiple",
                    [("field", "string", None, ""), ("value", "string", None, "")],
                )
            ],
        ),
        (
            "[LIMIT (offset count)]",
            [
                (
                    "limit",
                    "block",
                    "LIMIT",
                    "optional",
                    [("offset", "integer", None, ""), ("count", "integer", None, "")],
                )
            ],
        ),
        (
            "options=[count [WITHVALUES]]",
            [
                (
                    "options",
                    "block",
                    None,
                    "optional",
                    [("count", "integer", None, ""), ("withvalues", "pure-token", "WITHVALUES", "optional")],
                )
            ],
        ),
    ],
)
def test_the_notation_reads_as_the_manual(text, expected):
    tree = parse(text)
    if expected is None:
        assert [member.name for member in tree[0].arguments] == ["equal", "approximately"]
    else:
        assert shape(tree) == expected


def test_versions_display_and_key_specification_stand_behind_an_argument():
    keys, addr, old = parse("[KEYS keys{key}@3.0.6...] [ADDR addr{ip:port}] old!2.8.12")
    assert (keys.display, keys.since, keys.key_spec_index, keys.multiple) == ("key", "3.0.6", 0, True)
    assert (addr.display, addr.key_spec_index) == ("ip:port", -1)
    assert old.deprecated_since == "2.8.12"


def test_keys_are_numbered_by_their_specification_unless_said_otherwise():
    assert [a.key_spec_index for a in parse("destination key...")] == [0, 1]
    assert [a.key_spec_index for a in parse("key1 key2#0")] == [0, 0]
    tree = parse("key [BY by-pattern#1] [GET get-pattern#1]... [STORE destination]")
    assert [a.key_spec_index for a in tree] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    "text",
    ["key]", "[key", "(a | b", "key:number", "(a | b)", "(one two)", "(one two | three)", "key §", "label="],
)
def test_what_is_not_in_the_notation_is_refused(text):
    with pytest.raises(SyntaxNotationError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key", "<key>"),
        ("key [NX | XX] [COUNT count]", "<key> [NX|XX] [COUNT <count>]"),
        ("(YES | NO)", "(YES|NO)"),
        ("member...", "<member> [<member> ...]"),
        ("[key...]", "[<key> ...]"),
        ("(field value)...", "<field> <value> [<field> <value> ...]"),
        ("[ID client-id...]", "[ID <client-id> [<client-id> ...]]"),
        ("[PREFIX prefix]...", "[PREFIX <prefix> [PREFIX <prefix> ...]]"),
        ("filter=([ID client-id] | [ADDR addr{ip:port}])...", "(ID <client-id>|ADDR <ip:port>) ..."),
        ("[mode=TYPE (A | B)]", "[TYPE (A|B)]"),
    ],
)
def test_help_writes_arguments_on_one_line(text, expected):
    assert usage(parse(text)) == expected


def test_help_lists_each_subcommand_with_its_summary_and_ends_with_itself():
    group = Group("generic")
    group.container("THING", summary="Things.")

    @group.command("THING|SHOW", arity=-3, syntax="key [COUNT count]")
    def show(ctx, argv):
        """Show a thing."""

    container = Registry.of([group]).lookup(b"thing")
    assert [line.text for line in help_lines(container, b"thing")] == [
        b"THING <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        b"SHOW <key> [COUNT <count>]",
        b"    Show a thing.",
        b"HELP",
        b"    Print this help.",
    ]


def test_every_declaration_of_this_server_is_in_the_notation():
    for spec in Registry.of(all_groups()).specs:
        tree = parse(spec.syntax)
        # What a client must send and what arity asks for are one thing said twice.
        required = sum(1 for argument in tree if not argument.optional)
        if required:
            assert abs(spec.arity) > 1, spec
