"""Who listens hears the same of every command as with a real server: events by name and in order, and invalidations."""

from __future__ import annotations

import os

import pytest

from tests.harness import processes
from tests.oracle.echoes import EPISODE_COMMANDS, echoes_differ
from tests.oracle.episodes import Pair
from tests.oracle.generators import GROUPS

EPISODES = 20 if os.environ.get("REDISELECT_CI") == "1" else 3


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    from tests.conftest import require_real_server

    require_real_server()
    directories = [tmp_path_factory.mktemp(name) for name in ("real", "own")]
    own_options = ("--save", "", "--enable-debug-command", "yes")
    # Servers of their own: what is announced is a setting that other tests do not expect.
    with processes.start_real(directory=directories[0]) as real:
        with processes.start_own(*own_options, directory=directories[1]) as own:
            yield Pair(real, own)


@pytest.mark.parametrize("group", GROUPS)
def test_listeners_hear_the_events_and_invalidations_of_a_real_server(group, pair, request):
    seed = request.config.getoption("--oracle-seed")
    compared = 0
    for episode in range(EPISODES):
        count, difference = echoes_differ(pair, group, f"{seed}:echo:{episode}", EPISODE_COMMANDS)
        assert difference is None, difference
        compared += count
    assert compared, f"no command of {group} was compared"
