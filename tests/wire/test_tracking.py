"""Client tracking: caches of clients, limits and what the server keeps; single messages stand in tests/oracle."""

from __future__ import annotations

import pytest

from tests.harness.wire import encode, plain


def info(wire, field: bytes) -> int:
    return int(wire.ask("INFO").split(field + b":")[1].split(b"\r\n")[0])


def test_redis_py_s_cache_answers_until_somebody_writes(server):
    redis = pytest.importorskip("redis")
    cache = pytest.importorskip("redis.cache")
    with redis.Redis(port=server.port, protocol=3, cache_config=cache.CacheConfig()) as reader:
        with redis.Redis(port=server.port) as writer:
            writer.set("k", "1")
            assert reader.get("k") == b"1"
            hits = writer.info("stats")["keyspace_hits"]
            assert reader.get("k") == b"1"
            assert writer.info("stats")["keyspace_hits"] == hits  # it did not ask
            writer.set("k", "2")
            assert reader.get("k") == b"2"
            writer.flushall()
            assert reader.get("k") is None
            writer.hset("h", mapping={"a": 1})
            assert reader.hgetall("h") == {b"a": b"1"}
            writer.hset("h", "b", 2)
            assert reader.hgetall("h") == {b"a": b"1", b"b": b"2"}


def test_a_full_table_lets_go_of_keys_and_says_so(start_server):
    server = start_server("--tracking-table-max-keys", "100")
    with server.wire(protocol=3) as reader, server.wire() as other:
        reader.command("CLIENT", "TRACKING", "ON")
        for number in range(150):
            reader.send(encode("GET", "k%d" % number))
        invalidated = []
        replies = 0
        while replies < 150 or len(invalidated) < 50:
            kind, content = reader.read()
            if kind == b">":
                invalidated += plain((kind, content))[1]
            else:
                replies += 1
        assert sorted(invalidated) == sorted(b"k%d" % number for number in range(50))  # the oldest
        assert info(other, b"tracking_total_keys") == info(other, b"tracking_total_items") == 100


def test_a_lowered_limit_is_kept_without_a_further_read(start_server):
    server = start_server()
    with server.wire(protocol=3) as reader, server.wire() as wire:
        reader.command("CLIENT", "TRACKING", "ON")
        reader.command("MGET", *["k%d" % number for number in range(400)])
        reader.command("MULTI")
        wire.command("CONFIG", "SET", "tracking-table-max-keys", "1")
        for _ in range(399):
            assert reader.read()[0] == b">"
        assert info(wire, b"tracking_total_keys") == 1
        assert reader.ask("PING") == b"QUEUED"


def test_keys_given_up_for_a_command_are_told_before_its_reply(start_server):
    # The most time to give up keys: a command whose time is over before enough of them are gone is not refused.
    server = start_server("--maxmemory-policy", "volatile-ttl", "--maxmemory-eviction-tenacity", "100")
    with server.wire(protocol=3) as reader:
        reader.command("CLIENT", "TRACKING", "ON")
        reader.command("SET", "k", "x", "EX", "100")
        reader.command("GET", "k")
        reader.command("CONFIG", "SET", "maxmemory", str(info(reader, b"used_memory") + 100_000))
        reader.send(encode("SET", "large", "x" * 1_000_000))
        assert reader.read()[0] == b">"
        assert reader.read()[0] == b"-"  # one small key was not enough
        assert reader.ask("EXISTS", "k") == 0


def test_the_table_counts_keys_and_who_holds_them(server, wire):
    with server.wire(protocol=3) as one, server.wire(protocol=3) as two, server.wire(protocol=3) as third:
        for reader in (one, two):
            reader.command("CLIENT", "TRACKING", "ON")
            reader.command("MGET", "a", "b")
        third.command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "x", "PREFIX", "y")
        fields = (b"tracking_clients", b"tracking_total_keys", b"tracking_total_items", b"tracking_total_prefixes")
        assert [info(wire, field) for field in fields] == [3, 2, 4, 2]
        wire.command("SET", "a", "1")
        assert [info(wire, field) for field in fields] == [3, 1, 2, 2]
        for reader in (one, two, third):
            reader.command("CLIENT", "TRACKING", "OFF")
        assert [info(wire, field) for field in fields] == [0, 0, 0, 0]


def test_an_expired_key_is_invalidated_by_the_clock_alone(server, wire3):
    wire3.command("CLIENT", "TRACKING", "ON")
    with server.wire() as other:
        other.command("SET", "k", "v", "PX", "30")
    assert wire3.ask("GET", "k") == b"v"
    assert plain(wire3.read()) == [b"invalidate", [b"k"]]  # nobody asked for it


def test_a_broadcast_names_each_key_of_a_pipeline_once(server, wire3):
    wire3.command("CLIENT", "TRACKING", "ON", "BCAST")
    with server.wire() as other:
        other.pipeline([[b"SET", b"b", b"1"], [b"SET", b"a", b"1"], [b"INCR", b"a"], [b"DEL", b"b"]])
    assert plain(wire3.read()) == [b"invalidate", [b"a", b"b"]]


def test_keys_of_other_commands_are_those_of_the_declaration(server, wire3):
    wire3.command("CLIENT", "TRACKING", "ON")
    wire3.command("ZADD", "z", "1", "a")
    wire3.command("ZUNION", "2", "z", "y")
    wire3.command("XREAD", "STREAMS", "s", "0")
    with server.wire() as other:
        for command in (("SADD", "y", "m"), ("XADD", "s", "*", "f", "v"), ("ZREM", "z", "a")):
            other.command(*command)
            assert plain(wire3.read()) == [b"invalidate", [command[1].encode()]]


def test_client_list_shows_who_tracks(wire3):
    wire3.command("CLIENT", "TRACKING", "ON", "BCAST")
    line = wire3.ask("CLIENT", "INFO")
    assert b" flags=tB " in line and b" redir=0 " in line


def test_who_flushes_and_waits_for_it_is_told_before_the_reply(server):
    with server.wire(protocol=3) as reader:
        reader.command("CLIENT", "TRACKING", "ON")
        null, reply = b">2\r\n$10\r\ninvalidate\r\n_\r\n", b"+OK\r\n"
        for words, expected in (
            (("FLUSHALL", "SYNC"), null + reply),
            (("FLUSHDB",), null + reply),
            (("FLUSHALL", "ASYNC"), reply + null),
        ):
            reader.send(encode(*words))
            assert reader.read_exactly(len(expected)) == expected


def test_what_changed_before_a_flush_in_its_packet_is_told_before_its_reply(server):
    with server.wire(protocol=3) as reader:
        reader.command("CLIENT", "TRACKING", "ON", "BCAST")
        reader.send(encode("SET", "x", "1") + encode("FLUSHALL") + encode("PING"))
        told = b">2\r\n$10\r\ninvalidate\r\n"
        expected = b"+OK\r\n" + told + b"_\r\n" + told + b"*1\r\n$1\r\nx\r\n" + b"+OK\r\n+PONG\r\n"
        assert reader.read_exactly(len(expected)) == expected


def test_client_caching_ends_with_the_next_command_also_a_refused_one(server, wire):
    with server.wire(protocol=3) as reader:
        reader.command("CLIENT", "TRACKING", "ON", "OPTIN")
        for words, is_over in ((("GET",), True), (("NOSUCH",), True), (("CLIENT", "CACHING"), False)):
            reader.command("CLIENT", "CACHING", "YES")
            reader.command(*words)
            reader.command("GET", "k")
            wire.command("SET", "k", "v")
            if is_over:
                assert plain(reader.command("PING")) == b"PONG"
            else:
                assert reader.read()[0] == b">"


@pytest.mark.parametrize(
    ("had", "prefixes", "text"),
    [
        ((), ("b", "a", "bc", "ab"), "'b' overlaps with another provided prefix 'bc'"),
        ((), ("bc", "a", "b", "ab", "abc"), "'bc' overlaps with another provided prefix 'b'"),
        ((), ("x", "x"), "'x' overlaps with another provided prefix 'x'"),
        (("k1", "k2"), ("z", "k23", "k11"), "'k23' overlaps with an existing prefix 'k2'"),
        (("k1", "k2"), ("k", "z"), "'k' overlaps with an existing prefix 'k1'"),
        (("k1", "k2"), ("z", "y", "z", "k"), "'z' overlaps with another provided prefix 'z'"),
    ],
)
def test_the_first_prefix_that_overlaps_is_named(wire, had, prefixes, text):
    def track(names):
        return wire.ask("CLIENT", "TRACKING", "ON", "BCAST", *[word for name in names for word in ("PREFIX", name)])

    wire.command("HELLO", "3")
    if had:
        assert track(had) == b"OK"
    refusal = f"-ERR Prefix {text}. Prefixes for a single client must not overlap."
    assert track(prefixes) == refusal.encode()


def test_many_prefixes_are_judged_in_time_that_grows_with_them(wire):
    wire.command("HELLO", "3")
    words = [word for number in range(20_000) for word in ("PREFIX", f"p{number:05}")]
    assert wire.ask("CLIENT", "TRACKING", "ON", "BCAST", *words, timeout_s=5) == b"OK"
