"""Random command sequences get the same answers from this server and from a real one."""

from __future__ import annotations

import os

import pytest

from tests.oracle.episodes import Pair, run_group
from tests.oracle.generators import GROUPS, Generator

CI_COMMANDS = 200_000
COMMANDS = 20_000


@pytest.fixture(scope="module")
def pair(_shared_real, tmp_path_factory):
    from tests.harness import processes

    directory = tmp_path_factory.mktemp("own")
    with processes.start_own("--save", "", "--enable-debug-command", "yes", directory=directory) as own:
        yield Pair(_shared_real, own)


@pytest.mark.parametrize("group", GROUPS)
def test_answers_are_those_of_a_real_server(group, pair, request):
    default = CI_COMMANDS if os.environ.get("REDISELECT_CI") == "1" else COMMANDS
    total = request.config.getoption("--oracle-commands") or default
    result = run_group(pair, group, total // len(GROUPS) + 1, request.config.getoption("--oracle-seed"))
    assert not result.failures, f"\n{result}"
    assert result.commands, f"neither server knows the commands of {group}"


# What a connection may have said before: each sends its commands another way through admission.
PREPARATIONS = {
    "no touch": [[b"CLIENT", b"NO-TOUCH", b"ON"]],
    "restricted": [
        [b"ACL", b"SETUSER", b"limited", b"on", b"nopass", b"~*", b"&*", b"+@all", b"-lolwut"],
        [b"AUTH", b"limited", b"x"],
    ],
    "watching": [[b"WATCH", b"nothing else"]],
}


class Prepared(Pair):
    """A pair whose connections begin with some commands."""

    preparation: list[list[bytes]] = []

    def reset(self, protocol: int) -> None:
        super().reset(protocol)
        self.send(self.preparation)


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("connection", "introspection")])
@pytest.mark.parametrize("preparation", PREPARATIONS)
def test_answers_are_the_same_whatever_the_connection_said_before(preparation, group, pair):
    prepared = Prepared(pair.real, pair.own)
    prepared.preparation = PREPARATIONS[preparation]
    try:
        result = run_group(prepared, group, 1000, 7)
    finally:
        prepared.close()
        pair.restart_connections(2)
        pair.send([[b"ACL", b"DELUSER", b"limited"]])
    assert not result.failures, f"\n{result}"


def test_a_seed_is_a_sequence():
    first, again, other = (Generator("strings", seed).take(500) for seed in ("1", "1", "2"))
    assert first == again != other


def test_commands_collide_on_few_keys():
    keys = {argv[1] for argv in Generator("strings", "1").take(2000) if argv[0] == b"SET" and len(argv) > 2}
    assert 10 < len(keys) < 60
