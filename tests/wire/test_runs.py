"""Pipelines of one command, which the server may run as a whole: nobody may notice but by the time it takes."""

from __future__ import annotations

import pytest

from tests.harness.wire import encode

NULL = b"$-1\r\n"
OK = b"+OK\r\n"


def fields_of(wire, section):
    text = wire.ask("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def packet(commands):
    return b"".join([encode(*command) for command in commands])


def in_one_packet(wire, *commands):
    """Return the raw replies to commands that are sent at once."""
    wire.send(packet(commands))
    return wire.read_many_raw(len(commands))


@pytest.fixture
def run(wire):
    """`in_one_packet`, after one command of the same name, so that its spelling is known."""

    def send(*commands):
        wire.ask(*commands[0])
        return in_one_packet(wire, *commands)

    return send


def test_a_run_of_sets_and_of_gets_leaves_and_finds_every_value_in_order(run, wire):
    assert run(*[("SET", f"k{n}", "v" * n) for n in range(40)]) == [OK] * 40
    values = [b"$%d\r\n%b\r\n" % (n, b"v" * n) for n in range(40)]
    assert run(*[("GET", f"k{n}") for n in range(40)]) == values
    assert wire.ask("DBSIZE") == 40


def test_the_last_of_several_sets_of_one_key_holds(run, wire):
    run(*[("SET", "k", f"{n}") for n in range(10)])
    assert wire.ask("GET", "k") == b"9"


def test_a_run_of_gets_has_nulls_of_the_protocol_version_where_keys_are_missing(run, wire):
    wire.ask("SET", "k", "v")
    gets = [("GET", "k"), ("GET", "none"), ("GET", "k"), ("GET", "none")]
    assert run(*gets) == [b"$1\r\nv\r\n", NULL] * 2
    wire.ask("HELLO", 3)
    assert run(*gets) == [b"$1\r\nv\r\n", b"_\r\n"] * 2


def test_a_key_of_another_type_in_a_run_of_gets_is_refused_alone(run, wire):
    wire.ask("SET", "k", "v")
    wire.ask("RPUSH", "list", "a")
    replies = run(("GET", "k"), ("GET", "list"), ("GET", "k"), ("GET", "k"))
    assert replies[1].startswith(b"-WRONGTYPE")
    assert [replies[0], *replies[2:]] == [b"$1\r\nv\r\n"] * 3


def test_an_edited_string_in_a_run_of_gets_is_read_whole(run, wire):
    wire.ask("SET", "k", "abc")
    wire.ask("SETRANGE", "k", 1, "x")
    assert run(*[("GET", "k")] * 3) == [b"$3\r\naxc\r\n"] * 3


def test_a_run_of_sets_takes_deadlines_away(run, wire):
    wire.ask("SET", "k", "v", "EX", 100)
    run(*[("SET", "k", "w")] * 4)
    assert wire.ask("TTL", "k") == -1


def test_a_key_whose_time_has_come_is_missing_in_a_run_of_gets(run, wire):
    wire.ask("SET", "other", "w")
    wire.ask("GET", "other")
    in_one_packet(wire, ("DEBUG", "SET-ACTIVE-EXPIRE", 0), ("SET", "gone", "v", "PX", 1), ("DEBUG", "SLEEP", "0.002"))
    replies = in_one_packet(wire, ("GET", "gone"), ("GET", "other"), ("GET", "gone"))
    wire.ask("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    assert replies == [NULL, b"$1\r\nw\r\n", NULL]


def test_a_run_of_sets_is_found_by_a_scan_that_was_under_way(run, wire):
    wire.ask("SET", "first", "v")
    wire.ask("SCAN", 0)
    run(*[("SET", f"k{n}", "v") for n in range(20)])
    assert len(wire.ask("KEYS", "*")) == 21
    assert sorted(wire.ask("SCAN", 0, "COUNT", 1000)[1]) == sorted(wire.ask("KEYS", "*"))


FILLED_ONE_BY_ONE = {
    "LPUSH": lambda n: [f"value:{n}"],
    "RPUSH": lambda n: ["v" * (n % 200)],
    "SADD": lambda n: [f"{n % 300}" if n < 400 else f"member:{n}"],
    "HSET": lambda n: [f"field:{n % 400}", "v" * (n % 70)],
    "HINCRBY": lambda n: [f"field:{n % 600 if n > 500 else n % 7}", f"{n * 7 % 10 - 3}"],
    "ZADD": lambda n: [f"{n * 7 % 1000 / 4}", f"member:{n % 400}"],
    "INCR": lambda n: [],
    "DECRBY": lambda n: [f"{n * 7 % 10 - 3}"],
}
DRAINED = {"LPOP": "RPUSH", "RPOP": "RPUSH", "ZPOPMIN": "ZADD", "ZPOPMAX": "ZADD"}


@pytest.mark.parametrize("command", FILLED_ONE_BY_ONE)
@pytest.mark.parametrize("logged", [False, True])
def test_runs_on_one_key_leave_and_answer_what_single_commands_do(server, start_server, command, logged):
    arguments = FILLED_ONE_BY_ONE[command]
    if logged:
        server = start_server("--save", "", "--appendonly", "yes")
    with server.wire() as wire:
        for key in ("alone", "runs"):
            wire.ask(command, key, *arguments(0))
        for start in range(0, 600, 20):
            commands = [arguments(n) for n in range(start, start + 20)]
            replies = in_one_packet(wire, *[(command, "runs", *words) for words in commands])
            singles = [wire.ask(command, "alone", *words) for words in commands]
            assert replies == [b":%d\r\n" % reply for reply in singles]
            assert wire.ask("OBJECT", "ENCODING", "runs") == wire.ask("OBJECT", "ENCODING", "alone")
        dirty = int(fields_of(wire, "persistence")["rdb_changes_since_last_save"])
        assert wire.ask("DUMP", "runs") == wire.ask("DUMP", "alone")
    if logged:
        server.stop()
        server.start()
        with server.wire() as wire:
            assert wire.ask("DUMP", "runs") == wire.ask("DUMP", "alone")
            assert dirty % 2 == 0


LOOKED_UP = (
    "HGET hash,HEXISTS hash,HLEN hash,HGETALL hash,HKEYS hash,HVALS hash,STRLEN string,EXISTS -,TTL hash,PTTL -,"
    "GETBIT string 1,GETBIT string 9999,GETBIT string x,"
    "SISMEMBER set,SCARD set,SMEMBERS set,ZSCORE zset,ZCARD zset,ZRANK zset,ZREVRANK zset,"
    "ZRANGE zset 0 0,ZRANGE zset -9 -1,ZREVRANGE zset 0 0,ZREVRANGE zset 1 7,"
    "LLEN list,LINDEX list -1,LINDEX list 7,LINDEX list x,LRANGE list 1 -2,LRANGE list 0 x"
)


def test_runs_that_look_something_up_find_what_single_commands_do(start_server):
    with start_server("--save", "").wire() as wire:
        wire.ask("SET", "string", "v")
        for name in ("a", "b"):
            wire.ask("HSET", f"hash:{name}", "f", name, "g", "v" * 300)
            wire.ask("ZADD", f"zset:{name}", "1.5", "f", "7", "g")
            wire.ask("SADD", f"set:{name}", *range(7 if name == "a" else 70), "f")
            wire.ask("RPUSH", f"list:{name}", *"abcdefg", "v" * 300)
        for command, kind, *ends in map(str.split, LOOKED_UP.split(",")):
            most = 9 if ends else 3 if command in ("HGET", "HEXISTS", "ZSCORE", "SISMEMBER", "ZRANK", "ZREVRANK") else 2
            for keys in ("aab", "aaa", "ab-", "b?a", "---"):
                names = [f"{kind}:{name}" if name in "ab" else "string" if name == "?" else "none" for name in keys]
                commands = [(command, name, *(ends or field))[:most] for name in names for field in "fgx"]
                wire.ask("CONFIG", "RESETSTAT")
                singles = [in_one_packet(wire, one)[0] for one in commands]
                counted = [fields_of(wire, "stats")[field] for field in ("keyspace_hits", "keyspace_misses")]
                wire.ask("CONFIG", "RESETSTAT")
                assert in_one_packet(wire, *commands) == singles
                assert [fields_of(wire, "stats")[field] for field in ("keyspace_hits", "keyspace_misses")] == counted


def test_a_run_of_xadds_appends_in_order_whatever_their_ids(run, wire):
    for ids in ("****", "*7*9", "****"):
        run(*[("XADD", "s", at if at == "*" else f"{at}-{at}", f"f{n % 2}", n) for n, at in enumerate(ids)])
    entries = wire.ask("XRANGE", "s", "-", "+")
    assert [int(words[1]) for _, words in entries] == [0, 0, 1, 2, 3, 0, 0, 2, 0, 0, 1, 2, 3]
    assert wire.ask("XLEN", "s") == 13 and len({at for at, _ in entries}) == 13
    wire.ask("XADD", "end", "18446744073709551615-18446744073709551612", "f", "v")
    assert run(*[("XADD", "end", "*", "f", "v")] * 3)[2].startswith(b"-ERR The stream has exhausted")


def test_a_run_of_pings_answers_each(run, wire, wire3):
    assert run(*[("PING",)] * 5, ("PING", "x"), ("PING",)) == [b"+PONG\r\n"] * 5 + [b"$1\r\nx\r\n", b"+PONG\r\n"]
    assert run(*[("PING",)] * 5) == [b"+PONG\r\n"] * 5
    wire3.command("SUBSCRIBE", "c")
    assert in_one_packet(wire3, *[("PING",)] * 3) == [b"+PONG\r\n"] * 3
    wire.command("SUBSCRIBE", "c")
    assert in_one_packet(wire, *[("PING",)] * 3) == [b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"] * 3


def test_a_run_of_hincrbys_is_refused_where_single_ones_are(run, wire):
    wire.ask("HSET", "h", "word", "x", "large", 2**62)
    run(*[("HINCRBY", "h", "n", 1)] * 3)
    assert run(("HINCRBY", "h", "n", 1), ("HINCRBY", "h", "word", 1), ("HINCRBY", "h", "n", "y")) == [
        b":6\r\n",
        b"-ERR hash value is not an integer\r\n",
        b"-ERR value is not an integer or out of range\r\n",
    ]
    assert run(*[("HINCRBY", "h", "large", 2**61)] * 2 + [("HINCRBY", "h", "n", 1)])[1:] == [
        b"-ERR increment or decrement would overflow\r\n",
        b":7\r\n",
    ]


def test_runs_count_from_nothing_up_to_what_64_bits_hold(run, wire):
    assert run(*[("INCRBY", key, amount) for key, amount in (("n", 5), ("new", -7), ("n", 2**62), ("n", 2**62))]) == [
        b":10\r\n",
        b":-7\r\n",
        b":%d\r\n" % (10 + 2**62),
        b"-ERR increment or decrement would overflow\r\n",
    ]
    assert run(*[("DECR", "other")] * 3) == [b":-2\r\n", b":-3\r\n", b":-4\r\n"]


def test_a_key_that_a_run_sets_twice_is_found_once_by_a_scan(run, wire):
    wire.ask("SCAN", 0)
    run(*[("SET", "k", "v")] * 4, ("SET", "other", "v"))
    run(*[("INCR", "n")] * 3)
    wire.ask("MSET", "twice", "1", "twice", "2")
    assert sorted(wire.ask("SCAN", 0)[1]) == [b"k", b"n", b"other", b"twice"]


def test_deadlines_stay_what_they_are_where_a_run_meets_them(run, wire):
    wire.ask("SET", "n", "1", "EX", "100")
    wire.ask("RPUSH", "l", "a")
    wire.ask("EXPIRE", "l", "100")
    assert run(*[("INCR", "n")] * 3)[-1] == b":5\r\n"
    assert run(*[("GET", "n")] * 3) == [b"$1\r\n5\r\n"] * 3
    assert run(*[("RPUSH", "l", "b")] * 3)[-1] == b":5\r\n"
    assert wire.ask("TTL", "n") > 90 and wire.ask("TTL", "l") > 90
    run(*[("SET", "n", "2")] * 3)
    assert wire.ask("TTL", "n") == -1


NAMED = "HDEL h,SREM s,ZREM z,ZINCRBY z 1.5,ZINCRBY z -0,ZINCRBY z inf,ZINCRBY z x,DEL,SETBIT b"


@pytest.mark.parametrize("logged", ["no", "yes"])
def test_runs_over_named_elements_leave_and_answer_what_single_commands_do(start_server, logged):
    def outcome(wire, line, at_once):
        wire.ask("FLUSHALL")
        for command in ("HSET h {0} v", "SADD s {0}", "ZADD z {0} {0}", "SET {0} v", "LPUSH 3 {0}"):
            in_one_packet(wire, *[command.format(n).split() for n in range(4 if command[0] == "L" else 10)])
        before = int(fields_of(wire, "persistence")["rdb_changes_since_last_save"])
        replies = []
        for names in ((0, 1, 99, 1, 2), (9, 8, 7), range(10)):
            commands = [(*line.split(), name) for name in names]
            if line == "SETBIT b":
                commands = [(*command[:2], name * 37 % 70, name % 2) for *command, name in commands]
            packets = [commands] if at_once else [[command] for command in commands]
            replies += [reply for packet in packets for reply in in_one_packet(wire, *packet)]
        dirty = int(fields_of(wire, "persistence")["rdb_changes_since_last_save"]) - before
        digest = wire.ask("DEBUG", "DIGEST")
        if logged == "yes":
            wire.ask("DEBUG", "LOADAOF")
            assert wire.ask("DEBUG", "DIGEST") == digest
        return replies, dirty, digest

    with start_server("--save", "", "--appendonly", logged, "--enable-debug-command", "yes").wire() as wire:
        for line in NAMED.split(","):
            assert outcome(wire, line, True) == outcome(wire, line, False)


AMOUNTS = ["100", "100 200", "0", "-1", "x 100", "9" * 20, "9" * 16, "010 10"]


@pytest.mark.parametrize("logged", ["no", "yes"])
def test_runs_that_set_deadlines_leave_and_answer_what_single_commands_do(start_server, logged):
    keys = ("a", "b", "none", "hash", "a")

    def outcome(wire, command, amounts, at_once):
        wire.ask("FLUSHALL")
        wire.ask("MSET", "a", "1", "b", "2")
        wire.ask("HSET", "hash", "f", "v")
        wire.ask("HEXPIRE", "hash", 100, "FIELDS", 1, "f")
        wire.ask("EXPIRE", "b", 1000)
        values = ["v"] if command == "SETEX" else []
        commands = [(command, key, amount, *values) for key, amount in zip(keys, 5 * amounts.split())]
        commands += [("TTL", key) for key in (*keys, "missing")]
        if at_once:
            replies = in_one_packet(wire, *commands[:5]) + in_one_packet(wire, *commands[5:])
        else:
            replies = [in_one_packet(wire, one)[0] for one in commands]
        return replies, wire.ask("DBSIZE")

    with start_server("--save", "", "--appendonly", logged).wire() as wire:
        for amounts in AMOUNTS:
            for command in ("EXPIRE", "SETEX"):
                assert outcome(wire, command, amounts, True) == outcome(wire, command, amounts, False)


@pytest.mark.parametrize("command", DRAINED)
def test_runs_that_drain_a_key_end_with_what_is_missing(wire, command):
    fill = DRAINED[command]
    for key in ("alone", "runs"):
        for n in range(50):
            wire.ask(fill, key, *FILLED_ONE_BY_ONE[fill](n))
    for _ in range(8):
        replies = in_one_packet(wire, *[(command, "runs")] * 7)
        wires = []
        for _ in range(7):
            wire.send(encode(command, "alone"))
            wires.append(wire.read_raw())
        assert replies == wires
    assert wire.ask("EXISTS", "runs", "alone") == 0


def test_a_run_of_spops_takes_each_member_once(wire):
    wire.ask("SADD", "s", *range(100))
    taken = []
    for _ in range(11):
        taken += in_one_packet(wire, *[("SPOP", "s")] * 10)
    assert len(set(taken[:100])) == 100 and taken[100:] == [NULL] * 10


@pytest.mark.parametrize(
    "commands",
    [
        [("LPUSH", "string", "v")] * 3,
        [("LPOP", "string")] * 3,
        [("ZADD", "zset", "x", "v")] * 3,
        [("ZADD", "zset", "1", "v"), ("ZADD", "zset", "nan", "w")],
        [("INCR", "text")] * 3,
        [("SADD", "string", "v")] * 3,
    ],
)
def test_what_is_wrong_in_a_run_is_refused_each_time(wire, commands):
    wire.ask("MSET", "string", "x", "text", "9223372036854775807")
    wire.ask("ZADD", "zset", "1", "a")
    wire.ask("RPUSH", "list", "a")
    replies = in_one_packet(wire, *commands)
    singles = []
    for command in commands:
        wire.send(encode(*command))
        singles.append(wire.read_raw())
    assert replies[-1] == singles[-1] and replies[-1].startswith(b"-")


def test_runs_are_counted_call_by_call_and_hit_by_hit(run, wire):
    wire.ask("CONFIG", "RESETSTAT")
    run(*[("SET", f"k{n}", "v") for n in range(9)])
    run(*[("GET", f"k{n}") for n in range(12)])
    assert fields_of(wire, "commandstats")["cmdstat_set"].startswith("calls=10,")
    assert fields_of(wire, "commandstats")["cmdstat_get"].startswith("calls=13,")
    stats = fields_of(wire, "stats")
    assert (stats["keyspace_hits"], stats["keyspace_misses"]) == ("10", "3")


def test_a_run_with_wrong_numbers_of_arguments_is_refused_each_time(run, wire):
    refusal = b"-ERR wrong number of arguments for 'get' command\r\n"
    wire.ask("GET", "k")
    assert in_one_packet(wire, *[("GET", "a", "b")] * 4) == [refusal] * 4
    assert run(*[("SET", "k", "v", "NX")] * 3) == [NULL] * 3


def test_a_run_of_other_spellings_is_one_command(wire):
    wire.ask("SET", "k", "v")
    assert in_one_packet(wire, ("get", "k"), ("GET", "k"), ("Get", "k"), ("get", "k")) == [b"$1\r\nv\r\n"] * 4


def test_slow_log_of_everything_has_every_command_of_a_run(run, wire):
    wire.ask("CONFIG", "SET", "slowlog-log-slower-than", 0)
    wire.ask("SLOWLOG", "RESET")
    run(*[("GET", f"k{n}") for n in range(5)])
    entries = wire.ask("SLOWLOG", "GET", -1)
    wire.ask("CONFIG", "SET", "slowlog-log-slower-than", 10_000)
    assert sum(entry[3][0] == b"GET" for entry in entries) == 6


def test_a_run_is_silent_where_replies_are_off_and_queued_in_a_transaction(wire):
    wire.ask("SET", "k", "v")
    wire.send(packet([("CLIENT", "REPLY", "OFF")]))
    wire.send(packet([("SET", "k", f"{n}") for n in range(5)]))
    wire.send(packet([("CLIENT", "REPLY", "ON")]))
    assert wire.read_raw() == OK
    wire.expect_silence()
    wire.ask("MULTI")
    assert in_one_packet(wire, *[("GET", "k")] * 3) == [b"+QUEUED\r\n"] * 3
    assert wire.ask("EXEC") == [b"4"] * 3


def test_a_watcher_is_told_of_a_key_that_a_run_sets(run, server):
    with server.wire() as watcher:
        watcher.ask("WATCH", "k")
        run(*[("SET", "k", f"{n}") for n in range(5)])
        watcher.ask("MULTI")
        watcher.ask("PING")
        assert watcher.ask("EXEC") is None


def test_many_gets_of_a_large_value_in_one_packet_come_back_whole(run, wire):
    value = b"x" * 100_000
    wire.ask("SET", "k", value)
    assert run(*[("GET", "k")] * 50) == [b"$100000\r\n%b\r\n" % value] * 50


def test_a_waiter_for_one_key_is_served_whatever_else_is_written_meanwhile(run, server):
    with server.wire() as waiter, server.wire() as watcher:
        waiter.send(encode("BLPOP", "queue", 0))
        watcher.ask("WATCH", "watched")
        while fields_of(watcher, "clients")["blocked_clients"] != "1":
            pass
        run(*[("SET", f"k{n}", "v") for n in range(5)])
        in_packet = run(("RPUSH", "other", "a"), ("RPUSH", "queue", "b"), ("SET", "watched", "c"))
        assert in_packet == [b":2\r\n", b":1\r\n", OK]
        assert waiter.read_raw() == b"*2\r\n$5\r\nqueue\r\n$1\r\nb\r\n"
        watcher.ask("MULTI")
        watcher.ask("GET", "k1")
        assert watcher.ask("EXEC") is None


@pytest.mark.parametrize("prefix, suffix", [([], []), ([("MULTI",)], [("EXEC",)])])
def test_runs_beside_watched_keys_disturb_nobody_and_runs_over_them_do(server, wire, prefix, suffix):
    sets = [[("SET", f"k{n}", "1") for n in range(4)], [("SET", f"k{n % 2}", "2") for n in range(4)]]
    changes = int(fields_of(wire, "persistence")["rdb_changes_since_last_save"])
    with server.wire() as watcher:
        for key, lost in (("other", False), ("k1", True), ("n", True), ("k3", True)):
            watcher.ask("WATCH", key)
            for commands in (*sets, [("INCR", "n")] * 3):
                in_one_packet(wire, *prefix, *commands, *suffix)
            watcher.ask("MULTI")
            watcher.ask("GET", key)
            assert (watcher.ask("EXEC") is None) is lost
    assert [wire.ask("GET", key) for key in ("k0", "k1", "k3", "n")] == [b"2", b"2", b"1", b"12"]
    assert int(fields_of(wire, "persistence")["rdb_changes_since_last_save"]) == changes + 44


def test_a_watch_and_a_waiter_see_a_flush_of_everything(run, server, wire):
    with server.wire() as waiter, server.wire() as watcher:
        wire.ask("SET", "watched", "v")
        waiter.send(encode("BLPOP", "queue", 0))
        watcher.ask("WATCH", "watched")
        run(("FLUSHALL",))
        watcher.ask("MULTI")
        assert watcher.ask("EXEC") is None
        wire.ask("LPUSH", "queue", "x")
        assert waiter.read_raw() == b"*2\r\n$5\r\nqueue\r\n$1\r\nx\r\n"


def test_a_run_with_an_argument_too_few_or_too_many_is_refused_and_changes_nothing(wire):
    lines = "GET k,SET k 1,INCR k,LPUSH l a,LPOP l,RPOP no,SADD s a,SPOP s,HSET h f v,ZADD z 1 a,ZPOPMIN z,ZPOPMAX z"
    for line in lines.split(","):
        name = line.split()[0]
        refusal = b"-ERR wrong number of arguments for '%b' command\r\n" % name.lower().encode()
        wire.ask(*line.split())
        assert in_one_packet(wire, *[(name,)] * 4) == [refusal] * 4
    before = wire.ask("GET", "k")
    replies = in_one_packet(wire, *[("INCR", "k", "1")] * 4)
    assert [reply[:26] for reply in replies] == [b"-ERR wrong number of argum"] * 4
    assert wire.ask("GET", "k") == before
