"""Every command and subcommand of a real server is here, but for those listed as absent.

The list only shrinks: an entry for something that is present fails.
"""

from __future__ import annotations

import pytest

from tests.harness.wire import plain

# What this server does not have yet, as COMMAND LIST and COMMAND DOCS of a real 7.0 spell it.
ABSENT_COMMANDS: frozenset[str] = frozenset()
ABSENT_SUBCOMMANDS: frozenset[str] = frozenset()

# Records that Redis changed between 7.0 and 7.4: blocking commands are allowed in scripts (7.2), WITHSCORE (7.2).
CHANGED_SINCE_7_0 = frozenset("blmove blpop brpop brpoplpush bzpopmax bzpopmin wait zrank zrevrank".split())


def command_table(server) -> tuple[set[str], set[str]]:
    """Return a server's commands and its subcommands, spelled `container|name`."""
    commands, subcommands = set(), set()
    with server.wire(timeout_s=60) as wire:
        for entry in plain(wire.command("COMMAND")):
            commands.add(entry[0].decode())
            subcommands.update(sub[0].decode() for sub in entry[9])
        listed = {name.decode() for name in plain(wire.command("COMMAND", "LIST"))}
    # COMMAND LIST names the subcommands too.
    assert {name for name in listed if "|" not in name} == commands
    assert {name for name in listed if "|" in name} in (set(), subcommands)
    return commands, subcommands


@pytest.fixture(scope="module")
def tables(_shared_real, _shared_server):
    return command_table(_shared_real), command_table(_shared_server())


def test_the_commands_of_a_real_server_are_here_or_listed_as_absent(tables):
    (real, _), (own, _) = tables
    assert sorted(real - own - ABSENT_COMMANDS) == []


def test_the_subcommands_of_a_real_server_are_here_or_listed_as_absent(tables):
    (_, real), (_, own) = tables
    missing = {name for name in real - own if name.partition("|")[0] not in ABSENT_COMMANDS}
    assert sorted(missing - ABSENT_SUBCOMMANDS) == []


def test_what_is_listed_as_absent_is_absent(tables):
    _, (commands, subcommands) = tables
    assert sorted(commands & ABSENT_COMMANDS) == []
    assert sorted(subcommands & ABSENT_SUBCOMMANDS) == []


def test_a_command_has_the_arity_flags_and_keys_of_the_real_one(_shared_real, _shared_server):
    records = []
    for server in (_shared_real, _shared_server()):
        with server.wire(timeout_s=60) as wire:
            # Name, arity, flags, first key, last key, step: what drivers route by.
            records.append({entry[0].decode(): entry for entry in plain(wire.command("COMMAND"))})
    real, own = records
    differing = {}
    for name in sorted(set(real) & set(own) - CHANGED_SINCE_7_0):
        theirs, ours = real[name], own[name]
        if theirs[1] != ours[1] or theirs[3:6] != ours[3:6] or sorted(theirs[2]) != sorted(ours[2]):
            differing[name] = (theirs[1:6], ours[1:6])
    assert not differing
