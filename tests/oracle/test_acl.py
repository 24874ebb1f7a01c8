"""ACL against a real server: the same random rules, then how each server shows them and what it permits.

Users are made by rules of a small vocabulary, so that rules about one command meet often. What is compared is the reply
to every SETUSER, GETUSER and LIST, DRYRUN of many commands, and refusals of a client that is the user, with the log.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.harness.processes import Server, own_command, real_binary

SEED = int(os.environ.get("REDISELECT_SEED", "20261122"))
ROUNDS = int(os.environ.get("REDISELECT_ACL_ROUNDS", "150"))
NAMES = ["alice", "bob", "default", "zoë"]
COMMANDS = """get set config config|get config|set client client|kill client|list acl|log sort publish subscribe
del mset xread object object|freq select ping auth nosuch config|nosuch get| get|x config|get|x | hset|""".split()
CATEGORIES = "@all @read @write @keyspace @pubsub @dangerous @admin @fast @nosuch @ @connection @scripting".split()
FIRST_ARGS = ["0", "GET", "", "|", "x|y", "*", "é", "get|x"]
PREFIXES = ["~", "~", "%R~", "%W~", "%RW~", "%WR~", "%r~", "%RR~", "%~", "%X~", "%R", "~~"]
PATTERNS = ["*", "a*", "b?", "key:[0-9]*", "", "a b", "*x", "a", "#", "~", "{t}*", "[a-", "\\*", "é*", "\t", "(", "**"]
FIXED = """on off nopass resetpass reset resetkeys allkeys resetchannels allchannels allcommands nocommands
clearselectors sanitize-payload skip-sanitize-payload ON ResetKeys nonsense +@ALL -@all &* ~* >pw1 >pw2 <pw1 <none
#5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8 !5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62
#xyz + - +@ ~ & # > ( ) () (~a ~b) (+get +select|0 +SELECT|1 +get|X""".split() + [""]
VECTORS = [
    line.split()
    for line in """get a|get b1|set a 1|set b1 1 get|set key:1 v|mset a 1 b1 2|mget a b1 zz|del a|del zz b1
object freq a|config get maxmemory|config set maxmemory 0|client list|client kill x|select 0|select 1
publish a m|publish zz m
subscribe a b|psubscribe a*|psubscribe a|ssubscribe a|spublish a m|unsubscribe a|sort a by w* get b*|sort a store b1
xread streams a b1 0 0|xread count 1 streams a 0|copy a b1|rename a b1|ping|auth x|dbsize|keys *
lmove a b1 left right|bitfield a get u8 0|bitfield a set u8 0 1|zunionstore a 2 b1 zz|zinter 2 a b1
type a|exists a zz|ttl a|watch a b1|expire a 1|getdel a|getex a|hset a f v|xadd a * f v|pfmerge a b1|sdiff a b1|touch a
georadius a 0 0 1 m store b1|blpop a b1 0|lmpop 1 a left|memory usage a|flushall|nosuch x|config nosuch|get|acl whoami
append a x|strlen a|llen a|scard a|setrange a 0 x|getset a x|pfcount a zz|object help|sunion a zz""".replace(
        "\n", "|"
    ).split("|")
]


def random_rule(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.3:
        return chance.choice("+-") + chance.choice(COMMANDS)
    if kind < 0.35:
        return chance.choice("+-") + chance.choice(COMMANDS) + "|" + chance.choice(FIRST_ARGS)
    if kind < 0.5:
        return chance.choice("+-") + chance.choice(CATEGORIES)
    if kind < 0.68:
        return chance.choice(PREFIXES) + chance.choice(PATTERNS)
    if kind < 0.76:
        return "&" + chance.choice(PATTERNS)
    if kind < 0.86:
        inner = " ".join(random_rule(chance) for _ in range(chance.randrange(4)))
        return chance.choice(["(%s)", "(%s)", "( %s )", "(%s", "((%s))"]) % inner
    return chance.choice(FIXED)


@pytest.fixture(scope="module")
def servers():
    binary = real_binary()
    if binary is None:
        pytest.skip("no real server to compare with")
    with Server([binary], ["--save", ""]) as real, Server(own_command(), ["--save", ""]) as own:
        yield real, own


@pytest.fixture
def wires(servers):
    real, own = servers
    with real.wire() as first, own.wire() as second:
        version = first.ask("INFO", "server").split(b"redis_version:")[1].split(b"\r\n")[0]
        if version < b"7.2":
            pytest.skip("this real server shows command rules in another way (before 7.2)")
        for wire in (first, second):
            wire.command("ACL", "SETUSER", "default", "reset", "on", "nopass", "~*", "&*", "+@all")
            wire.command("ACL", "DELUSER", *[name for name in NAMES if name != "default"])
            wire.command("ACL", "LOG", "RESET")
        yield first, second


def raw(wire, words) -> bytes:
    """One command, and its reply as it came."""
    return wire.pipeline([[word.encode() for word in words]])[0]


def both(wires, *words) -> bytes:
    """Send the same to both, insist on the same answer, return it."""
    real, own = [raw(wire, words) for wire in wires]
    assert own == real, words
    return real


def random_user(wires, chance: random.Random) -> None:
    rules = [random_rule(chance) for _ in range(chance.randrange(1, 6))]
    both(wires, "ACL", "SETUSER", "alice", *rules)


def test_random_rules_are_taken_refused_and_shown_as_by_a_real_server(wires):
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        random_user(wires, chance)
        both(wires, "ACL", "GETUSER", "alice")
        both(wires, "ACL", "LIST")


def test_dryrun_of_every_kind_of_command_agrees_with_a_real_server(wires):
    chance = random.Random(SEED + 1)
    for _ in range(ROUNDS):
        random_user(wires, chance)
        for vector in chance.sample(VECTORS, 25):
            both(wires, "ACL", "DRYRUN", "alice", *vector)


def test_refusals_of_a_user_and_their_log_agree_with_a_real_server(servers, wires):
    chance = random.Random(SEED + 2)
    for _ in range(max(1, ROUNDS // 6)):
        for wire in wires:
            wire.command("ACL", "DELUSER", "alice")
            wire.command("ACL", "LOG", "RESET")
            wire.command("FLUSHALL")
        random_user(wires, chance)
        both(wires, "ACL", "SETUSER", "alice", "on", "nopass", "-subscribe", "-psubscribe", "-ssubscribe", "-migrate")
        clients = [server.wire() for server in servers]
        try:
            both(clients, "AUTH", "alice", "pw")
            for vector in chance.sample(VECTORS, 25):
                if vector[0] in ("eval", "client", "memory", "keys", "blpop", "acl", "select", "config"):
                    continue
                real, own = [raw(wire, vector) for wire in clients]
                if b"-NOPERM" in (real[:7], own[:7]) or real[:1] == b"-":
                    assert own == real, vector
        finally:
            for wire in clients:
                wire.close()
        logs = [wire.ask("ACL", "LOG", "100") for wire in wires]
        real, own = [[(entry[1], entry[3], entry[5], entry[7], entry[9]) for entry in log] for log in logs]
        assert own == real
        for field in ("acl_access_denied_cmd", "acl_access_denied_key", "acl_access_denied_channel"):
            counts = [wire.ask("INFO", "stats").split(field.encode() + b":")[1].split(b"\r\n")[0] for wire in wires]
            assert counts[0] == counts[1], field
