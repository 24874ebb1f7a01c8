"""`maxmemory` and `maxmemory-clients`: what is refused, what is given up, which key, and who is told."""

from __future__ import annotations

import time

import pytest

from scripts import bench_memory
from server.app import Application
from server.config.command_line import configure
from server.log import Log
from storage.errors import CommandError
from tests.harness.processes import own_command
from tests.harness.wire import Wire, encode
from tests.wire.test_scripts import skip_without_interpreter

ROOM = 3_000_000
OOM = (b"-", b"OOM command not allowed when used memory > 'maxmemory'.")


def field(wire, section: str, name: str) -> int:
    return int(wire.ask("INFO", section).split(b"\r\n%b:" % name.encode())[1].split(b"\r\n")[0])


def limit(wire, policy: str, room: int = ROOM) -> None:
    """Leave `room` bytes from now on."""
    wire.command("CONFIG", "SET", "maxmemory", "0")
    wire.command("CONFIG", "SET", "maxmemory-policy", policy)
    wire.command("CONFIG", "SET", "maxmemory", str(field(wire, "memory", "used_memory") + room))


def fill(wire, count: int, prefix: str = "new", *options: str) -> list[bytes]:
    tail = [b"v" * 500, *[word.encode() for word in options]]
    return wire.pipeline([[b"SET", b"%b:%d" % (prefix.encode(), n), *tail] for n in range(count)])


@pytest.fixture
def limited(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        wire.server = server
        yield wire


def test_the_log_warns_of_a_limit_that_is_reached_already(limited):
    limited.command("CONFIG", "SET", "maxmemory", "100gb")
    assert "the new maxmemory value" not in limited.server.log()
    limited.command("CONFIG", "SET", "maxmemory", "1")
    limited.server.wait_for_log("set via CONFIG SET (1) is smaller than the current memory usage (")


def test_without_eviction_what_needs_memory_is_refused_and_the_rest_runs(limited):
    limited.command("SET", "k", "v")
    limited.command("CONFIG", "SET", "maxmemory", "1")
    for words in (["SET", "k", "w"], ["LPUSH", "l", "x"], ["SETRANGE", "k", "9", "x"], ["HSET", "h", "f", "v"]):
        assert limited.command(*words) == OOM
    assert limited.ask("GET", "k") == b"v"
    assert limited.ask("DEL", "k") == 1
    limited.command("CONFIG", "SET", "maxmemory", "0")
    assert limited.ask("SET", "k", "w") == b"OK"


@pytest.mark.parametrize(
    "growth",
    [
        "SETRANGE new 20000000 x",
        "SETBIT new 160000000 1",
        "BITFIELD new SET u8 160000000 1",
        "BITOP NOT new big",
        "COPY big new",
    ],
)
def test_what_grows_beyond_its_arguments_is_noticed_before_the_next_command(limited, growth):
    limited.command("SETRANGE", "big", "20000000", "x")
    limit(limited, "noeviction")
    words = [b"SET", b"k", b"v"]
    replies = limited.pipeline([growth.encode().split(), words, [b"DEL", b"new"], words])
    assert replies[1:] == [b"%b%b\r\n" % OOM, b":1\r\n", b"+OK\r\n"]


def test_an_estimate_of_few_keys_overlooks_no_large_one(tmp_path):
    app = Application(configure(["--port", "0", "--save", "", "--dir", str(tmp_path)]), Log("nothing"))
    try:
        keys = app.services.keyspace.databases[0]
        for number in range(100):
            keys.put(b"%d" % number, b"v")
        keys.put(b"large", b"v" * 5_000_000)
        assert 5_000_000 < app.services.info.memory.estimate() < 5_300_000  # Redis's allocator rounds it up
    finally:
        app.close()


def test_a_value_that_does_not_fit_is_refused_also_where_its_memory_is_estimated(tmp_path):
    config = configure(["--port", "0", "--save", "", "--dir", str(tmp_path), "--maxmemory", "1gb"])
    app = Application(config, Log("nothing"))
    try:
        services = app.services
        services.info.memory._is_asked = True  # nobody can be asked
        services.info.memory._heap_bytes = None
        check = services.dispatch.gate.check_memory
        spec = services.registry.lookup(b"set")
        check.__self__.limit = services.info.memory.startup_bytes + ROOM
        check(None, spec, [b"SET", b"k", b"v" * (ROOM // 2)])
        with pytest.raises(CommandError, match="OOM"):
            check(None, spec, [b"SET", b"k", b"v" * ROOM])
    finally:
        app.close()


def test_exec_is_refused_if_one_of_its_commands_needs_memory(start_server):
    with start_server().wire() as wire, Wire(wire.socket.getpeername()) as admin:
        for words in (["MULTI"], ["SET", "k", "v"], ["GET", "k"]):
            wire.command(*words)
        admin.command("CONFIG", "SET", "maxmemory", "1")
        assert wire.command("EXEC") == (b"-", b"EXECABORT Transaction discarded because of: " + OOM[1])
        wire.command("MULTI")
        assert wire.command("SET", "k", "v") == OOM
        assert wire.command("EXEC") == (b"-", b"EXECABORT Transaction discarded because of previous errors.")


def test_a_limit_set_in_a_packet_holds_for_what_follows_in_it(limited):
    limit(limited, "noeviction")
    run = [[b"SET", b"k", b"v"]] * 3
    assert limited.pipeline(run) == [b"+OK\r\n"] * 3  # known to fit
    refused = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    replies = limited.pipeline([*run, [b"CONFIG", b"SET", b"maxmemory", b"1"], *run, [b"GET", b"k"]])
    assert replies == [b"+OK\r\n"] * 4 + [refused] * 3 + [b"$1\r\nv\r\n"]
    transaction = [[b"MULTI"], [b"GET", b"k"], [b"SET", b"k", b"w"], [b"EXEC"]]
    replies = limited.pipeline([*run, *transaction, [b"CONFIG", b"SET", b"maxmemory", b"0"], *run])
    assert replies[:3] == [refused] * 3 and replies[6].startswith(b"-EXECABORT")
    assert replies[7:] == [b"+OK\r\n"] * 4
    assert limited.ask("GET", "k") == b"v"


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_any_key_may_go_so_that_the_limit_is_kept_and_writes_go_on(limited, policy):
    limit(limited, policy)
    assert set(fill(limited, 12_000)) == {b"+OK\r\n"}
    assert field(limited, "memory", "used_memory") <= field(limited, "memory", "maxmemory") + 200_000
    evicted = field(limited, "stats", "evicted_keys")
    assert evicted > 1000 and limited.ask("DBSIZE") == 12_000 - evicted


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"])
def test_only_keys_with_a_deadline_go_and_without_any_writes_are_refused(limited, policy):
    fill(limited, 500, "kept")
    limit(limited, policy)
    assert set(fill(limited, 8000, "volatile", "EX", "1000")) == {b"+OK\r\n"}
    assert field(limited, "stats", "evicted_keys") > 1000
    assert limited.ask("EXISTS", *[f"kept:{n}" for n in range(500)]) == 500
    replies = set(fill(limited, 8000, "more"))
    assert replies == {b"+OK\r\n", b"-%b\r\n" % OOM[1]}


def test_volatile_ttl_gives_up_the_nearest_deadlines_first(limited):
    names = [[b"SET", b"k%d" % n, b"v" * 500, b"EX", b"%d" % (1000 + n)] for n in range(4000)]
    limited.pipeline(names)
    limit(limited, "volatile-ttl", -500_000)
    limited.command("SET", "one", "more")
    gone = [n for n in range(4000) if not limited.ask("EXISTS", f"k{n}")]
    assert gone and gone == list(range(len(gone)))


def test_lru_keeps_most_of_what_was_used_lately(start_server):
    server = start_server("--save", "", "--enable-debug-command", "yes")
    with server.wire() as wire:
        fill(wire, 2000, "old")
        wire.expect_silence(1.1)  # idle times have seconds
        fill(wire, 2000, "young")
        limit(wire, "allkeys-lru", -600_000)
        wire.command("SET", "one", "more")
        old = wire.ask("EXISTS", *[f"old:{n}" for n in range(2000)])
        young = wire.ask("EXISTS", *[f"young:{n}" for n in range(2000)])
    assert 2000 - old > 10 * (2000 - young)


def test_lfu_keeps_what_is_used_often(limited):
    limited.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "1")
    fill(limited, 2000, "hot")
    fill(limited, 2000, "cold")
    for _ in range(10):
        limited.pipeline([[b"GET", b"hot:%d" % n] for n in range(2000)])
    limit(limited, "allkeys-lfu", -600_000)
    limited.command("SET", "one", "more")
    hot = limited.ask("EXISTS", *[f"hot:{n}" for n in range(2000)])
    cold = limited.ask("EXISTS", *[f"cold:{n}" for n in range(2000)])
    assert 2000 - cold > 10 * (2000 - hot)


def test_object_freq_counts_uses_under_lfu_and_idletime_is_refused(limited):
    limited.command("SET", "before", "v")
    limited.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "0")
    assert limited.ask("OBJECT", "FREQ", "before") == 0
    limited.command("SET", "k", "v")
    assert limited.ask("OBJECT", "FREQ", "k") == 5
    for _ in range(3):
        limited.command("GET", "k")
    assert limited.ask("OBJECT", "FREQ", "k") == 8
    limited.command("APPEND", "k", "w")
    assert limited.ask("OBJECT", "FREQ", "k") == 9
    limited.command("CLIENT", "NO-TOUCH", "ON")
    limited.command("GET", "k")
    assert limited.ask("OBJECT", "FREQ", "k") == 9
    assert limited.command("OBJECT", "IDLETIME", "k")[0] == b"-"
    limited.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert limited.ask("OBJECT", "IDLETIME", "k") == 0
    assert limited.command("OBJECT", "FREQ", "k")[0] == b"-"


def test_with_no_touch_only_touch_counts_as_a_use_also_from_transactions_but_not_from_scripts(limited):
    limited.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "0")
    limited.command("SET", "k", "v")
    limited.command("CLIENT", "NO-TOUCH", "ON")
    for line in ("MULTI", "GET k", "APPEND k w", "EXEC"):
        limited.command(*line.split())
    assert limited.ask("OBJECT", "FREQ", "k") == 5
    for line in ("MULTI", "GET k", "TOUCH k", "EXEC"):
        limited.command(*line.split())
    assert limited.ask("OBJECT", "FREQ", "k") == 6
    limited.command("SADD", "set", "k")
    assert limited.ask("SORT", "set", "BY", "*", "ALPHA", "GET", "*") == [b"vw"]
    assert limited.ask("OBJECT", "FREQ", "k") == 6
    skip_without_interpreter(limited)
    assert limited.ask("EVAL", "return {redis.call('get', 'k'), redis.call('get', 'none')}", 0) == [b"vw", None]
    assert limited.ask("OBJECT", "FREQ", "k") == 6
    assert limited.ask("EVAL", "return redis.call('touch', KEYS[1])", 1, "k") == 1
    assert limited.ask("OBJECT", "FREQ", "k") == 6


def test_each_command_of_a_run_counts_as_a_use_under_lfu(limited):
    limited.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "0")
    for line in ("INCR n", "LPUSH l a", "LPOP l", "HSET h f v", "GET n", "SET n 1"):
        words = line.split()
        limited.command(*words)
        before = limited.ask("OBJECT", "FREQ", words[1])
        limited.send(encode(*words) * 10)
        limited.read_many_raw(10)
        assert limited.ask("OBJECT", "FREQ", words[1]) == before + 10, line
        limited.command("RPUSH", "l", *"abcdefghijklmnop")


def test_eviction_is_announced_and_invalidates(start_server):
    server = start_server("--save", "", "--notify-keyspace-events", "Ee")
    with server.wire() as wire, server.wire() as listener:
        fill(wire, 3000, "k")
        listener.command("SUBSCRIBE", "__keyevent@0__:evicted")
        wire.command("WATCH", *[f"k:{n}" for n in range(3000)])
        limit(wire, "allkeys-random", -200_000)
        with server.wire() as other:
            other.command("SET", "one", "more")
        message = listener.read()[1]
        assert message[1] == (b"$", b"__keyevent@0__:evicted") and message[2][1].startswith(b"k:")
        wire.command("MULTI")
        assert wire.ask("EXEC") is None


def test_a_lowered_limit_is_kept_without_any_further_command(limited):
    fill(limited, 8000)
    limit(limited, "allkeys-random", -2_000_000)
    for _ in range(1000):
        if field(limited, "memory", "used_memory") <= field(limited, "memory", "maxmemory"):
            break
    else:
        raise AssertionError("memory stays above the limit")
    assert field(limited, "stats", "evicted_keys") > 0


def test_the_client_that_holds_most_is_closed_and_protected_ones_are_not(start_server):
    server = start_server("--maxmemory-clients", "3mb")
    with server.wire() as wire, server.wire() as hog, server.wire() as spared:
        spared.command("CLIENT", "NO-EVICT", "ON")
        spared.command("MULTI")
        spared.command("SET", "k", "v" * 2_000_000)
        hog.command("MULTI")
        hog.send(encode("SET", "k", "v" * 2_500_000))
        assert hog.read_until_closed() in (b"", b"+QUEUED\r\n")
        assert field(wire, "stats", "evicted_clients") == 1
        assert " * Evicting client: id=" in server.log() and " user=default redir=-1 " in server.log()
        assert spared.command("EXEC")[0] == b"*"


def test_a_limit_for_clients_that_was_lifted_or_is_tiny_closes_nobody(start_server):
    server = start_server("--save", "", "--enable-debug-command", "yes")
    with server.wire() as wire:
        wire.command("CONFIG", "SET", "maxmemory-clients", "3mb")
        wire.command("CONFIG", "SET", "maxmemory-clients", "0")
        wire.command("DEBUG", "SLEEP", "0.03")  # clients are weighed after 20 ms
        assert wire.ask("PING") == b"PONG"
        wire.command("CONFIG", "SET", "maxmemory-clients", "1")  # 128 KiB, then
        wire.command("DEBUG", "SLEEP", "0.03")
        assert wire.ask("PING") == wire.ask("PING") == b"PONG"
        assert field(wire, "stats", "evicted_clients") == 0


def test_what_was_given_up_is_deleted_in_the_log_too(start_server):
    server = start_server("--save", "", "--appendonly", "yes", "--appendfsync", "no")
    with server.wire() as wire:
        fill(wire, 3000, "k")
        limit(wire, "allkeys-random", -200_000)
        wire.command("SET", "one", "more")
        wire.command("CONFIG", "SET", "maxmemory", "0")
        evicted = field(wire, "stats", "evicted_keys")
        left = wire.ask("DBSIZE")
        assert evicted and left == 3001 - evicted
        logged = b"".join([path.read_bytes() for path in server.directory.glob("appendonlydir/*.incr.aof")])
    assert logged.count(b"\r\nDEL\r\n") + logged.count(b"\r\nUNLINK\r\n") == evicted


def test_a_limit_set_later_gives_up_old_keys_too_and_a_scan_still_finds_all_that_are_left(limited):
    for start in range(0, 20_000, 1000):
        limited.pipeline([[b"SET", b"key:%d" % number, b"v" * 100] for number in range(start, start + 1000)])
    limited.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    limited.command("CONFIG", "SET", "maxmemory", str(field(limited, "memory", "used_memory") - 1_000_000))
    found: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, keys = limited.ask("SCAN", cursor, "COUNT", "1000")
        found.update(keys)
        if cursor == b"0":
            break
    left = [key for key in found if limited.ask("EXISTS", key)]
    ends_s = time.monotonic() + 30
    while field(limited, "memory", "used_memory") > int(limited.ask("CONFIG", "GET", "maxmemory")[1]):
        assert time.monotonic() < ends_s
        limited.ask("SET", left[0], "v")  # what the index takes is noticed by the next write
    assert field(limited, "stats", "evicted_keys") > 0
    assert 10_000 < len(left) <= 20_000
    numbers = [int(key[4:]) for key in limited.ask("KEYS", "*")]
    assert numbers and set(limited.ask("KEYS", "*")) <= found
    assert 0.4 < sum(number < 10_000 for number in numbers) / len(numbers) < 0.6


@pytest.mark.parametrize("name", ["strings of 100", "hashes of 200", "sorted sets of 500", "streams"])
def test_used_memory_grows_by_what_the_process_grows(name, start_server):
    with start_server().wire() as wire:
        if b"cpython" not in wire.ask("INFO", "server").lower():
            pytest.skip("this interpreter's memory is estimated")
    share, make = bench_memory.DATA_SETS[name]
    real, said = bench_memory.growth(own_command(), 30_000 // share, make)
    assert abs(said - real) < bench_memory.TOLERANCE * real + 1_000_000


def test_the_interpreter_of_scripts_is_no_data(limited):
    before = field(limited, "memory", "used_memory")
    skip_without_interpreter(limited)
    with_it = field(limited, "memory", "used_memory")
    assert with_it < before + 600_000  # it takes more than twice as much
    for _ in range(5):
        limited.command("SCRIPT", "FLUSH")
        limited.command("EVAL", "return 1", 0)
    # Each new one was left out once more: less and less seemed to be used, in the end less than nothing.
    assert field(limited, "memory", "used_memory") > with_it - 300_000


def test_what_is_kept_of_commands_is_no_data_and_made_once(limited):
    """A client that asks for all commands whenever it connects held up everybody for 8 to 20 ms each time."""
    before = field(limited, "memory", "used_memory")
    spent_us, told = [0], []
    for _ in range(2):
        told.append(limited.ask("COMMAND", "DOCS"))
        spent_us.append(int(limited.ask("INFO", "commandstats").split(b"command|docs:")[1].split(b",")[1][5:]))
    assert told[0] == told[1] and spent_us[2] - spent_us[1] < spent_us[1] / 2
    assert field(limited, "memory", "used_memory") < before + 150_000  # 0.35 MB are kept


CLIENTS_LIMIT = 3_000_000


@pytest.fixture
def two_clients(start_server):
    """One that looks on and is never closed, and one that may be."""
    server = start_server()
    with server.wire() as wire, server.wire() as other:
        wire.command("CLIENT", "NO-EVICT", "ON")
        wire.command("CONFIG", "SET", "maxmemory-clients", str(CLIENTS_LIMIT))
        other.command("CLIENT", "SETNAME", "other")
        yield wire, other


def test_a_client_that_sends_a_vector_past_the_limit_is_closed_before_it_runs(two_clients):
    wire, other = two_clients
    assert other.command("MSET", "k", "v", "k2", "x" * 1_000_000) == (b"+", b"OK")
    with pytest.raises(ConnectionError):
        other.command("MSET", "k", "w", "k2", "x" * CLIENTS_LIMIT)
    assert b"name=other" not in wire.ask("CLIENT", "LIST")
    assert wire.ask("GET", "k") == b"v"
    assert field(wire, "stats", "evicted_clients") == 1


def test_what_a_transaction_queues_counts_at_once(two_clients):
    wire, other = two_clients
    other.command("MULTI")
    with pytest.raises(ConnectionError):
        for _ in range(5):
            other.command("SET", "k", "x" * (CLIENTS_LIMIT // 4))
    assert b"name=other" not in wire.ask("CLIENT", "LIST")


def test_a_lower_limit_closes_the_largest_clients_before_the_next_command(start_server):
    server = start_server()
    sizes = (100_000, 200_000, 400_000, 800_000)
    with server.wire() as wire:
        wire.command("CLIENT", "NO-EVICT", "ON")
        others = [server.wire() for _ in sizes]
        for other, size in zip(others, sizes):
            other.command("CLIENT", "SETNAME", "c%d" % size)
            other.socket.sendall(b"*2\r\n$%d\r\n" % size + b"v" * size)
        ends_s = time.monotonic() + 10
        while b" qbuf=800000 " not in wire.ask("CLIENT", "LIST"):
            assert time.monotonic() < ends_s
        wire.command("CONFIG", "SET", "maxmemory-clients", "800000")
        left = wire.ask("CLIENT", "LIST")
        assert b"c800000" not in left and left.count(b"name=c") == 3
        wire.command("CONFIG", "SET", "maxmemory-clients", "0")
        for other in others:
            other.close()
