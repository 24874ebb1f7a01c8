"""Packets of different commands that come again and again, which the server may run by a plan: nobody may notice.

What is learned of a packet are the names and numbers of arguments; each test says its packet often enough first.
"""

from __future__ import annotations

import pytest

from protocol.patterns import MAX_LINES, SAMPLED
from tests.harness.wire import encode

OK = b"+OK\r\n"
QUEUED = b"+QUEUED\r\n"
NULL = b"$-1\r\n"


def encode_all(commands):
    return b"".join([encode(*command) for command in commands])


def in_one_packet(wire, *commands):
    """Return the raw replies to commands that are sent at once."""
    wire.send(encode_all(commands))
    return wire.read_many_raw(len(commands))


def one_by_one(wire, *commands):
    replies = []
    for command in commands:
        wire.send(encode(*command))
        replies.append(wire.read_raw())
    return replies


def learn(wire, *commands):
    """Have the server know the pattern of a packet; whatever it leaves is gone again."""
    assert sum(2 * len(command) + 1 for command in commands) <= MAX_LINES
    for _ in range(2 * SAMPLED):
        in_one_packet(wire, *commands)
    wire.ask("FLUSHALL")
    wire.ask("CONFIG", "RESETSTAT")


def counted(wire, *names):
    """The calls, refusals and failures of commands, as INFO has them."""
    rows = dict(line.split(":", 1) for line in wire.ask("INFO", "commandstats").decode().split("\r\n") if ":" in line)
    found = {}
    for name in names:
        fields = dict(pair.split("=") for pair in rows["cmdstat_" + name].split(","))
        found[name] = tuple(int(fields[field]) for field in ("calls", "rejected_calls", "failed_calls"))
    return found


def mixed(key):
    """A packet of what a program may say about something, with a mistake, a transaction and a run within it."""
    return [
        ("SET", f"{key}:s", key),
        ("INCR", f"{key}:n"),
        ("HSET", f"{key}:h", "a", 1, "b", key),
        ("INCR", f"{key}:s"),
        ("MULTI",),
        ("LPUSH", f"{key}:l", "x", "y"),
        ("LPUSH", f"{key}:h", "x"),
        ("SPOP", f"{key}:none"),
        ("EXPIRE", f"{key}:n", 100),
        ("EXEC",),
        ("GET", f"{key}:s"),
        ("HGETALL", f"{key}:h"),
        ("ZADD", f"{key}:z", 1.5, key),
        ("LRANGE", f"{key}:l", 0, -1),
        ("SADD", f"{key}:set", *range(20)),
        ("SPOP", f"{key}:set"),
        *[("INCR", f"{key}:many")] * 15,
        *[("SET", f"{key}:{n % 12}", n) for n in range(15)],
        ("MULTI",),
        *[("RPUSH", f"{key}:many" if "vv" in key else f"{key}:list", n) for n in range(15)],
        *[("INCRBY", f"{key}:{n}", n) for n in range(15)],
        ("EXEC",),
        *[("INCR", f"{key}:h" if n > 10 else f"{key}:many") for n in range(15)],
        ("MULTI",),
        ("EXEC",),
    ]


@pytest.mark.parametrize("logged, resp", [(False, 2), (True, 3)])
def test_a_packet_by_plan_answers_leaves_counts_and_logs_what_single_commands_do(start_server, logged, resp):
    server = start_server("--save", "", "--appendonly", "yes" if logged else "no")
    names = {words[0].lower() for words in mixed("k")}
    random = 15  # SPOP of a set
    keys = [f"k{n % 3}:{'v' * n}" for n in range(8)]
    ends = ("s", "n", "h", "l", "z", "many", "list", *range(15))
    with server.wire(protocol=resp) as wire:
        learn(wire, *mixed("k"))
        in_packets = [in_one_packet(wire, *mixed(key)) for key in keys]
        counts, errors = counted(wire, *names), wire.ask("INFO", "errorstats")
        values = [[wire.ask("DEBUG", "DIGEST-VALUE", f"{key}:{end}") for end in ends] for key in keys]
        if logged:
            wire.ask("DEBUG", "LOADAOF")
            assert [[wire.ask("DEBUG", "DIGEST-VALUE", f"{key}:{end}") for end in ends] for key in keys] == values
        wire.ask("FLUSHALL")
        wire.ask("CONFIG", "RESETSTAT")
        singly = [one_by_one(wire, *mixed(key)) for key in keys]
        assert (counted(wire, *names), wire.ask("INFO", "errorstats")) == (counts, errors)
        assert [[wire.ask("DEBUG", "DIGEST-VALUE", f"{key}:{end}") for end in ends] for key in keys] == values
    for replies in in_packets + singly:
        assert replies.pop(random).startswith(b"$")
    assert in_packets == singly


def test_a_transaction_by_plan_stands_whole_in_the_log(start_server):
    server = start_server("--save", "", "--appendonly", "yes", "--appendfsync", "no")  # nothing waits for a sync
    packet = [("SET", "a", "b"), ("MULTI",), ("SET", "c", "d"), ("GET", "c"), ("INCR", "n"), ("EXEC",), ("GET", "a")]
    with server.wire() as wire, server.wire() as other:
        learn(wire, *packet)
        other.ask("SELECT", 5)
        other.ask("SET", "e", "f")
        in_one_packet(wire, *packet)
        wire.ask("PING")
    log = next(server.directory.glob("appendonlydir/*.incr.aof")).read_bytes()
    expected = [("SELECT", "0"), packet[0], ("MULTI",), packet[2], packet[4], ("EXEC",)]
    assert log.endswith(encode("SET", "e", "f") + encode_all(expected))


def test_what_stands_in_the_way_of_a_plan_is_heeded(server, wire):
    packet = [("MULTI",), ("SET", "k", "v"), ("GET", "k"), ("EXEC",)]
    usual = [OK, QUEUED, QUEUED, b"*2\r\n+OK\r\n$1\r\nv\r\n"]
    learn(wire, *packet)
    assert in_one_packet(wire, *packet) == usual
    with server.wire() as other:
        wire.ask("WATCH", "k")
        assert in_one_packet(wire, *packet) == usual
        wire.ask("WATCH", "k")
        other.ask("SET", "k", "changed")
        assert in_one_packet(wire, *packet) == [*usual[:3], b"*-1\r\n"]
        assert other.ask("GET", "k") == b"changed"
        other.send(encode("MONITOR"))
        assert other.read_raw() == OK
        in_one_packet(wire, *packet)
        assert [other.read_raw().split(b'"')[1] for _ in packet] == [b"MULTI", b"SET", b"GET", b"EXEC"]
    wire.ask("MULTI")
    nested = in_one_packet(wire, *packet)
    assert nested == [b"-ERR MULTI calls can not be nested\r\n", *usual[1:]]
    wire.ask("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-set")
    wire.ask("AUTH", "reader", "secret")
    denied = in_one_packet(wire, *packet)
    wire.ask("AUTH", "default", "")
    wire.ask("ACL", "DELUSER", "reader")
    assert denied[1].startswith(b"-NOPERM") and denied[3].startswith(b"-EXECABORT")
    wire.send(encode("CLIENT", "REPLY", "OFF") + encode("PING"))
    wire.send(encode_all(packet))
    wire.send(encode("CLIENT", "REPLY", "ON"))
    assert wire.read_raw() == OK


def test_a_watch_is_lost_to_what_its_own_client_says_before_the_transaction(wire):
    packet = [("SET", "k", "v"), ("MULTI",), ("INCR", "n"), ("EXEC",), ("MULTI",), ("INCR", "n"), ("GET", "k")]
    packet += [("EXEC",)]
    answers = [OK, OK, QUEUED, b"*1\r\n:1\r\n", OK, QUEUED, QUEUED, b"*2\r\n:2\r\n$1\r\nv\r\n"]
    learn(wire, *packet)
    wire.ask("WATCH", "other")
    assert in_one_packet(wire, *packet) == answers
    wire.ask("DEL", "n")
    wire.ask("WATCH", "k")
    answers[3:] = [b"*-1\r\n", OK, QUEUED, QUEUED, b"*2\r\n:1\r\n$1\r\nv\r\n"]
    assert in_one_packet(wire, *packet) == answers
    assert counted(wire, "multi", "exec", "incr") == {"multi": (4, 0, 0), "exec": (4, 0, 0), "incr": (3, 0, 0)}


def test_slow_log_of_everything_has_every_command_of_a_plan(wire):
    packet = [("MULTI",), ("SET", "k", "v"), ("EXEC",), ("GET", "k")]
    learn(wire, *packet)
    wire.ask("CONFIG", "SET", "slowlog-log-slower-than", 0)
    wire.ask("SLOWLOG", "RESET")
    in_one_packet(wire, *packet)
    entries = wire.ask("SLOWLOG", "GET", 4)
    wire.ask("CONFIG", "SET", "slowlog-log-slower-than", 10_000)
    assert [entry[3][0] for entry in reversed(entries)] == [b"SLOWLOG", b"MULTI", b"SET", b"GET"]


def test_waiters_and_watchers_hear_of_what_a_plan_does_in_its_order(server, wire):
    packet = [("SET", "k", "v"), ("LPUSH", "q", "a"), ("LLEN", "q"), ("MULTI",), ("LPUSH", "p", "b"), ("LLEN", "p")]
    packet += [("EXEC",), ("LLEN", "p"), ("SET", "k", "w")]
    learn(wire, *packet)
    with server.wire() as waiter, server.wire() as second, server.wire() as watcher:
        for client, queue in ((waiter, "q"), (second, "p")):
            client.send(encode("BLPOP", queue, 0))
        watcher.ask("WATCH", "k")
        while b"blocked_clients:2" not in wire.ask("INFO", "clients"):
            pass
        in_transaction = b"*2\r\n:1\r\n:1\r\n"  # and gone after it
        expected = [OK, b":1\r\n", b":0\r\n", OK, QUEUED, QUEUED, in_transaction, b":0\r\n", OK]
        assert in_one_packet(wire, *packet) == expected
        assert waiter.read_raw() == b"*2\r\n$1\r\nq\r\n$1\r\na\r\n"
        assert second.read_raw() == b"*2\r\n$1\r\np\r\n$1\r\nb\r\n"
        watcher.ask("MULTI")
        watcher.ask("PING")
        assert watcher.ask("EXEC") is None


def test_a_reader_that_waits_in_a_plan_goes_on_behind_it_when_it_is_served(server, wire):
    read = ("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "st", ">")
    packet = [("MULTI",), read, ("EXEC",), ("SET", "k", "v"), read, ("GET", "k"), ("SET", "k", "w")]
    wire.ask("XGROUP", "CREATE", "st", "g", "$", "MKSTREAM")
    asked = list(packet)
    asked[1] = asked[4] = ("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "st", ">")
    learn(wire, *asked)
    wire.ask("XGROUP", "CREATE", "st", "g", "$", "MKSTREAM")
    with server.wire() as other:
        wire.send(encode_all(packet))
        assert wire.read_many_raw(4) == [OK, QUEUED, b"*1\r\n*-1\r\n", OK]
        while b"blocked_clients:1" not in other.ask("INFO", "clients"):
            pass
        assert other.ask("GET", "k") == b"v"
        other.ask("XADD", "st", "1-1", "f", "x")
        entry = b"*1\r\n*2\r\n$2\r\nst\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nx\r\n"
        assert wire.read_many_raw(3) == [entry, b"$1\r\nv\r\n", OK]
        assert counted(wire, "xreadgroup")["xreadgroup"] == (2, 0, 0)
        assert in_one_packet(wire, *asked)[4] == b"*-1\r\n"


def test_a_message_to_oneself_follows_the_reply_to_its_command(wire3):
    packet = [("SET", "k", "v"), ("PUBLISH", "c", "m"), ("GET", "k"), ("MULTI",), ("PUBLISH", "c", "n"), ("GET", "k")]
    packet += [("EXEC",)]
    learn(wire3, *packet)
    wire3.ask("SUBSCRIBE", "c")
    wire3.send(encode_all(packet))
    message = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n%b\r\n"
    value = b"$1\r\nv\r\n"
    expected = [OK, b":1\r\n", message % b"m", value, OK, QUEUED, QUEUED, b"*2\r\n:1\r\n" + value, message % b"n"]
    assert wire3.read_many_raw(len(expected)) == expected


def test_commands_that_take_long_let_others_in_and_lose_none_behind_them(server, wire):
    packet = [("SORT", "list", "ALPHA", "LIMIT", 0, 1), ("INCR", "n")] * 4 + [("MULTI",), ("INCR", "n"), ("EXEC",)]
    learn(wire, *packet)
    wire.ask("RPUSH", "list", *range(20_000))
    with server.wire() as other:
        wire.send(encode_all(packet))
        other.ask("PING")
        replies = wire.read_many_raw(len(packet))
    assert [reply for reply in replies if reply.startswith(b":")] == [b":%d\r\n" % n for n in range(1, 5)]
    assert replies[-1] == b"*1\r\n:5\r\n"


def test_a_plan_beside_a_limit_of_memory_frees_what_it_must(wire):
    packet = [("SET", "a", "v"), ("GET", "a"), ("APPEND", "a", "v")]
    learn(wire, *packet)
    used = int(wire.ask("INFO", "memory").split(b"used_memory:")[1].split(b"\r")[0])
    wire.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", used + 2_000_000)
    for n in range(200):
        value = "v" * 20_000
        assert in_one_packet(wire, ("SET", f"k{n}", value), ("GET", f"k{n}"), ("APPEND", f"k{n}", "v"))[0] == OK
    evicted = b"evicted_keys:0\r" not in wire.ask("INFO", "stats")
    wire.ask("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", used // 2)
    replies = in_one_packet(wire, *packet)
    wire.ask("CONFIG", "SET", "maxmemory", 0)
    assert evicted
    assert [reply[:4] for reply in replies] == [b"-OOM", b"$-1\r", b"-OOM"]
