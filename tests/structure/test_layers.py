"""The dependency law holds, and its checker sees what breaks it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

STORAGE_RULE = "storage imports the standard library only"
PROTOCOL_RULE = "protocol imports the standard library, storage.numeric and storage.text only"
ROOT = Path(__file__).resolve().parents[2]


def load_checker():
    spec = importlib.util.spec_from_file_location("check_layers", ROOT / "scripts" / "check_layers.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_layers"] = module
    spec.loader.exec_module(module)
    return module


check_layers = load_checker()


@pytest.fixture
def violations_of(tmp_path):
    """Return a function that writes the given files and returns what the checker says, one line each."""

    def check(**files):
        for name, source in files.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return [str(violation) for violation in check_layers.check_tree(tmp_path)]

    return check


def test_this_repository_keeps_the_law():
    assert [str(violation) for violation in check_layers.check_tree(ROOT)] == []


def test_what_the_law_allows_passes(violations_of):
    assert not violations_of(
        storage__numeric="import struct\n",
        storage__keyspace="from storage.numeric import parse_int\nfrom . import numeric\n",
        protocol__encoder="import struct\nfrom storage.numeric import format_float\n",
        server__registry="from protocol import encoder\nfrom storage.keyspace import Keyspace\n",
        server__commands__strings="from server.registry import Group\nTABLE = {1: 2}\n",
        server__app="import server.commands.strings\nfrom server.reactor import Reactor\nReactor()\n",
        server__reactor="import selectors\nclass Reactor: pass\n",
    )


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"storage__keyspace": "from protocol import reply\n"}, STORAGE_RULE),
        ({"storage__keyspace": "def f():\n    import server.app\n"}, STORAGE_RULE),
        ({"storage__keyspace": "if TYPE_CHECKING:\n    import protocol\n"}, STORAGE_RULE),
        ({"protocol__parser": "from storage.keyspace import Keyspace\n"}, PROTOCOL_RULE),
        ({"protocol__parser": "from storage import keyspace\n"}, PROTOCOL_RULE),
        ({"protocol__parser": "import server\n"}, PROTOCOL_RULE),
        ({"server__loop": "import uvloop\n"}, "uvloop, which is not the standard library"),
        (
            {"storage__fast": "try:\n    import hiredis\nexcept ImportError:\n    pass\n"},
            "hiredis, which is not",
        ),
        ({"server__commands__lists": "from server.reactor import Reactor\n"}, "never imports server.reactor"),
        ({"server__commands__lists": "from server import connection\n"}, "never imports server.connection"),
        (
            {"server__commands__lists": "from ..connection import Connection\n"},
            "never imports server.connection",
        ),
        (
            {
                "server__commands__lists": "from server.commands.sets import sadd\n",
                "server__commands__sets": "\n",
            },
            "never imports another command module (server.commands.sets)",
        ),
        (
            {"server__commands__lists": "from . import sets\n", "server__commands__sets": "\n"},
            "never imports another command module (server.commands.sets)",
        ),
        ({"server__session": "import server.app\n"}, "imported by the entry point alone"),
        (
            {
                "server__app": "from server.reactor import Reactor\nReactor()\n",
                "server__reactor": "class Reactor: pass\n",
                "server__session": "from server.reactor import Reactor\ndef f():\n    return Reactor()\n",
            },
            "session.py:3: constructs Reactor",
        ),
        ({"server__logging": "\n"}, "named like the standard library's logging"),
        ({"storage__types__array": "\n"}, "named like the standard library's array"),
        ({"server__helpers": "\n"}, "says nothing about what it owns"),
        ({"storage__long": "x = 1\n" * 701}, "has 701 lines"),
        ({"server__state": "clients = []\n"}, "clients is a mutable module global"),
        ({"server__state": "count = 0\ndef f():\n    global count\n    count += 1\n"}, "`global count`"),
        ({"server__state": "SEEN = {}\ndef f(k):\n    SEEN[k] = 1\n"}, "changes the module's table SEEN"),
        ({"server__state": "SEEN = set()\ndef f(k):\n    SEEN.add(k)\n"}, "changes the module's table SEEN"),
    ],
)
def test_a_breach_is_reported(violations_of, files, complaint):
    found = violations_of(**files)
    assert any(complaint in line for line in found), found


def test_a_local_that_shadows_a_table_may_change(violations_of):
    assert not violations_of(server__state="SEEN = {}\ndef f():\n    SEEN = {}\n    SEEN[1] = 2\n")


def test_a_module_of_the_longest_length_passes(violations_of):
    assert not violations_of(storage__long="x = 1\n" * 700)
