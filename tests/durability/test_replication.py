"""Replication between this server and a real one, in both directions: nothing is lost, whatever happens to the links.

Random writes of every type run while links are cut in the middle of whatever they carry; at the end the data sets are
equal, and where the backlog reached the links went on instead of beginning anew.
"""

from __future__ import annotations

import os
import random
import socket
import threading

import pytest

from tests.harness import processes
from tests.harness.replication import PATIENCE_S, info, until
from tests.harness.wire import Wire, encode_all, plain

CUTS = int(os.environ.get("REDISELECT_LINK_CUTS", "12"))
NO_DELAY = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "600")


class Link:
    """A forwarder between a replica and its master that can be cut in the middle of a transfer."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs: list[socket.socket] = []
        self.lock = threading.Lock()
        self.cut_after = 0  # bytes towards the replica, 0: never
        self.cuts = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            with self.lock:
                self.pairs += [near, far]
            threading.Thread(target=self.pump, args=(far, near, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(near, far, False), daemon=True).start()

    def pump(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        try:
            while True:
                data = source.recv(16384)
                if not data:
                    break
                if counts and self.cut_after:
                    part, self.cut_after = data[: self.cut_after], max(0, self.cut_after - len(data))
                    sink.sendall(part)
                    if not self.cut_after:
                        self.cuts += 1
                        break
                else:
                    sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self.listener.close()
        with self.lock:
            for end in self.pairs:
                end.close()


class Writer:
    """Seeded writes of every type, with deadlines, transactions and several databases."""

    def __init__(self, seed: int, wire: Wire) -> None:
        self.random = random.Random(seed)
        self.wire = wire
        self.written = 0

    def key(self, kind: str) -> bytes:
        return b"%b:%d" % (kind.encode(), self.random.randrange(40))

    def one(self) -> list[bytes]:
        r = self.random
        value = bytes(r.randrange(256) for _ in range(r.choice((0, 1, 5, 30, 300))))
        n = b"%d" % r.randrange(1000)
        return r.choice(
            (
                lambda: [b"SET", self.key("s"), value],
                lambda: [b"SET", self.key("s"), value, b"PX", b"%d" % r.randrange(1, 400)],
                lambda: [b"APPEND", self.key("s"), value],
                lambda: [b"INCR", self.key("n")],
                lambda: [b"INCRBYFLOAT", self.key("f"), b"0.1"],
                lambda: [b"SETRANGE", self.key("s"), n, b"x"],
                lambda: [b"SETBIT", self.key("s"), n, b"1"],
                lambda: [b"RPUSH", self.key("l"), value, n],
                lambda: [b"LPOP", self.key("l"), b"2"],
                lambda: [b"LMOVE", self.key("l"), self.key("l"), b"LEFT", b"RIGHT"],
                lambda: [b"LTRIM", self.key("l"), b"0", b"100"],
                lambda: [b"HSET", self.key("h"), n, value, b"f", n],
                lambda: [b"HDEL", self.key("h"), n],
                lambda: [b"HINCRBYFLOAT", self.key("h"), b"float", b"1.5"],
                lambda: [b"SADD", self.key("t"), n, value],
                lambda: [b"SPOP", self.key("t")],
                lambda: [b"SPOP", self.key("t"), b"3"],
                lambda: [b"SUNIONSTORE", self.key("t"), self.key("t"), self.key("t")],
                lambda: [b"ZADD", self.key("z"), n, value],
                lambda: [b"ZINCRBY", self.key("z"), b"0.25", n],
                lambda: [b"ZPOPMIN", self.key("z")],
                lambda: [b"ZREMRANGEBYRANK", self.key("z"), b"50", b"-1"],
                lambda: [b"XADD", self.key("x"), b"*", b"f", value],
                lambda: [b"XADD", self.key("x"), b"MAXLEN", b"~", b"100", b"*", b"f", n, b"g", value],
                lambda: [b"XTRIM", self.key("x"), b"MAXLEN", b"50"],
                lambda: [b"PFADD", self.key("p"), n],
                lambda: [b"GEOADD", self.key("g"), b"%d" % r.randrange(90), b"%d" % r.randrange(80), n],
                lambda: [b"EXPIRE", self.key("h"), b"%d" % r.randrange(100, 10_000)],
                lambda: [b"PEXPIRE", self.key("l"), b"%d" % r.randrange(1, 800)],
                lambda: [b"PERSIST", self.key("h")],
                lambda: [b"RENAME", self.key("s"), self.key("s")],
                lambda: [b"COPY", self.key("l"), self.key("c"), b"REPLACE"],
                lambda: [b"DEL", self.key("s"), self.key("z")],
                lambda: [b"UNLINK", self.key("h")],
                lambda: [b"SELECT", b"%d" % r.randrange(3)],
                lambda: [b"MOVE", self.key("c"), b"5"],
            )
        )()

    def write(self, count: int) -> None:
        """Send a pipeline; now and then a part of it is a transaction."""
        commands = []
        while len(commands) < count:
            if self.random.random() < 0.05:
                commands += [[b"MULTI"], *(self.one() for _ in range(self.random.randrange(5))), [b"EXEC"]]
            else:
                commands.append(self.one())
        self.wire.send(encode_all(commands))
        self.wire.read_many_raw(len(commands), PATIENCE_S)
        self.written += len(commands)


def offsets_agree(master: Wire, replica: Wire) -> bool:
    fields = info(replica)
    return (
        fields.get("master_link_status") == "up" and fields["slave_repl_offset"] == info(master)["master_repl_offset"]
    )


def settle(master: Wire, replica: Wire) -> None:
    """Wait until nothing is on its way and nothing that is about to lapse is left."""
    until(lambda: offsets_agree(master, replica), "the replica has everything")


def differing(master: Wire, replica: Wire) -> list[str]:
    """What differs, key by key; the keys' digests say whether anything does."""
    if master.ask("DEBUG", "DIGEST") == replica.ask("DEBUG", "DIGEST"):
        return []
    found = []
    for number in range(16):
        for wire in (master, replica):
            wire.command("SELECT", number)
        keys = set(master.ask("KEYS", "*")) | set(replica.ask("KEYS", "*"))
        for key in sorted(keys):
            one, other = (wire.ask("DEBUG", "DIGEST-VALUE", key) for wire in (master, replica))
            if one != other:
                kinds = [plain(wire.command("TYPE", key)) for wire in (master, replica)]
                found.append("%d %r: %r" % (number, key, kinds))
    return found


def stop_lapsing(wire: Wire) -> None:
    """Take the deadlines away, so that time changes nothing while two servers are compared."""
    for number in range(16):
        wire.command("SELECT", number)
        for key in wire.ask("KEYS", "*"):
            wire.command("PERSIST", key)
    # KEYS does not name what has lapsed and is still there, which DBSIZE counts until it is deleted.
    until(lambda: b"expires=" not in wire.ask("INFO", "keyspace").replace(b"expires=0", b""), "it is deleted")


def start(kind: str, *args):
    if kind == "own":
        return processes.start_own("--save", "", "--enable-debug-command", "yes", *NO_DELAY, *args)
    return processes.start_real("--save", "", *NO_DELAY, *args)


@pytest.fixture
def pair(request):
    opened = []

    def make(kind: str, *args):
        if kind == "real" and processes.real_binary() is None:
            pytest.skip("no redis-server")
        server = start(kind, *args)
        opened.append(server)
        return server

    yield make
    processes.end_all(opened)


KINDS = [("own", "real"), ("real", "own"), ("own", "own")]


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_a_data_set_of_every_type_is_the_same_after_a_full_synchronisation_under_load(pair, kinds, diskless):
    master = pair(kinds[0], "--repl-diskless-sync", diskless)
    replica = pair(kinds[1])
    with master.wire() as source, replica.wire() as copy, master.wire() as load:
        Writer(1, source).write(3000)
        writer = Writer(2, load)
        copy.command("REPLICAOF", "127.0.0.1", master.port)
        for _ in range(20):
            writer.write(100)
        until(lambda: info(copy)["master_link_status"] == "up", "the link is up")
        writer.write(500)
        stop_lapsing(load)
        settle(source, copy)
        assert differing(source, copy) == []
        assert source.ask("DBSIZE") == copy.ask("DBSIZE") > 0


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_links_cut_anywhere_cost_no_write_and_go_on_where_they_broke(pair, kinds):
    master = pair(kinds[0], "--repl-backlog-size", "20mb")
    replica = pair(kinds[1])
    link = Link(master.port)
    rng = random.Random(7)
    try:
        with master.wire() as source, replica.wire() as copy:
            writer = Writer(3, source)
            writer.write(500)
            copy.command("REPLICAOF", "127.0.0.1", link.port)
            until(lambda: offsets_agree(source, copy), "the first synchronisation is over")
            for _ in range(CUTS):
                cuts = link.cuts
                link.cut_after = rng.randrange(1, 20_000)
                while link.cuts == cuts:
                    writer.write(50)
                writer.write(rng.randrange(1, 200))
                until(lambda: info(copy)["master_link_status"] == "up", "the link is up again")
            stop_lapsing(source)
            settle(source, copy)
            assert differing(source, copy) == []
            stats = info(source, "stats")
            assert int(stats["sync_full"]) == 1
            assert int(stats["sync_partial_ok"]) >= CUTS
    finally:
        link.close()


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_a_backlog_too_small_costs_a_full_synchronisation_and_no_write(pair, kinds):
    master = pair(kinds[0], "--repl-backlog-size", "16kb")
    replica = pair(kinds[1])
    with master.wire() as source, replica.wire() as copy:
        writer = Writer(4, source)
        writer.write(500)
        copy.command("REPLICAOF", "127.0.0.1", master.port)
        settle(source, copy)
        copy.command("REPLICAOF", "127.0.0.1", 1)
        until(lambda: info(source)["connected_slaves"] == "0", "the link is cut")
        writer.write(2000)
        copy.command("REPLICAOF", "127.0.0.1", master.port)
        writer.write(500)
        stop_lapsing(source)
        settle(source, copy)
        assert differing(source, copy) == []
        assert int(info(source, "stats")["sync_full"]) == 2


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_master_and_replica_change_places_again_and_again(pair, kinds):
    servers = [pair(kinds[0]), pair(kinds[1])]
    wires = [server.wire() for server in servers]
    try:
        at = 0
        Writer(5, wires[0]).write(1000)
        wires[1].command("REPLICAOF", "127.0.0.1", servers[0].port)
        for turn in range(4):
            master, replica = wires[at], wires[1 - at]
            Writer(turn + 10, master).write(500)
            stop_lapsing(master)  # a DEL that the replica has not heard of would be a write of the old master alone
            settle(master, replica)
            assert replica.command("REPLICAOF", "NO", "ONE") == (b"+", b"OK")
            master.command("REPLICAOF", "127.0.0.1", servers[1 - at].port)
            at = 1 - at
        stop_lapsing(wires[at])
        settle(wires[at], wires[1 - at])
        assert differing(wires[at], wires[1 - at]) == []
        total = [info(wire, "stats") for wire in wires]
        assert sum(int(stats["sync_full"]) for stats in total) == 1
        assert sum(int(stats["sync_partial_ok"]) for stats in total) == 4
    finally:
        for wire in wires:
            wire.close()


CHAINS = [("own", "own", "real"), ("real", "own", "real"), ("own", "real", "own")]


@pytest.mark.parametrize("kinds", CHAINS, ids="-".join)
def test_a_chain_passes_on_every_byte_and_survives_the_end_of_its_head(pair, kinds):
    head, middle, tail = (pair(kind) for kind in kinds)
    with head.wire() as first, middle.wire() as second, tail.wire() as third:
        writer = Writer(6, first)
        writer.write(500)
        second.command("REPLICAOF", "127.0.0.1", head.port)
        until(lambda: info(second)["master_link_status"] == "up", "the middle follows")
        third.command("REPLICAOF", "127.0.0.1", middle.port)
        writer.write(1000)
        stop_lapsing(first)
        settle(first, second)
        settle(second, third)
        assert info(third)["master_replid"] == info(first)["master_replid"]
        assert differing(first, third) == []
        full = int(info(second, "stats")["sync_full"])
        head.kill()
        second.command("REPLICAOF", "NO", "ONE")
        Writer(8, second).write(300)
        stop_lapsing(second)
        settle(second, third)
        assert differing(second, third) == []
        assert int(info(second, "stats")["sync_full"]) == full


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("target", ["named", "any"])
def test_failover_hands_over_without_losing_a_write(pair, kinds, target):
    master, replica = (pair(kind) for kind in kinds)
    with master.wire() as old, replica.wire() as new:
        new.command("REPLICAOF", "127.0.0.1", master.port)
        until(lambda: "state=online" in info(old).get("slave0", ""), "the replica is online")
        Writer(9, old).write(1000)
        old.command("SET", "last", "write")
        words = ["TO", "127.0.0.1", replica.port] if target == "named" else []
        assert old.command("FAILOVER", *words, "TIMEOUT", "10000") == (b"+", b"OK")
        until(lambda: info(new)["role"] == "master", "the replica is the master")
        until(lambda: info(old).get("master_link_status") == "up", "the old master follows")
        assert info(old)["master_failover_state"] == "no-failover"
        assert new.command("SET", "after", "1") == (b"+", b"OK")
        stop_lapsing(new)
        settle(new, old)
        assert differing(new, old) == []
        assert old.ask("GET", "last") == b"write"
        assert info(new, "stats")["sync_full"] == "0"


def test_a_replica_with_a_log_restarts_with_everything(pair, tmp_path):
    master = pair("own")
    with master.wire() as source:
        Writer(11, source).write(500)
        replica = pair("own", "--appendonly", "yes", "--replicaof", f"127.0.0.1 {master.port}")
        with replica.wire() as copy:
            until(lambda: offsets_agree(source, copy), "the replica has everything")
            Writer(12, source).write(500)
            stop_lapsing(source)
            settle(source, copy)
            until(lambda: info(copy, "persistence")["aof_rewrite_in_progress"] == "0", "the log has its base")
            digest = source.ask("DEBUG", "DIGEST")
            copy.command("REPLICAOF", "NO", "ONE")
            copy.command("CONFIG", "SET", "appendfsync", "always")
        replica.args = [arg for arg in replica.args if arg not in ("--replicaof", f"127.0.0.1 {master.port}")]
        replica.restart(kill=True)
        with replica.wire() as copy:
            assert copy.ask("DEBUG", "DIGEST") == digest


def test_waitaof_counts_replicas_that_have_it_on_disk(pair):
    master = pair("own", "--appendonly", "yes")
    replica = pair("own", "--appendonly", "yes")
    with master.wire() as source, replica.wire() as copy:
        copy.command("REPLICAOF", "127.0.0.1", master.port)
        until(lambda: offsets_agree(source, copy), "the replica has everything")
        until(lambda: info(copy, "persistence")["aof_rewrite_in_progress"] == "0", "the log has its base")
        source.command("SET", "key", "value")
        assert plain(source.command("WAITAOF", "1", "1", "8000")) == [1, 1]


def test_a_restarted_replica_goes_on_with_its_history_from_the_snapshot(pair):
    master = pair("own")
    replica = pair("own", "--replicaof", f"127.0.0.1 {master.port}")
    with master.wire() as source:
        with replica.wire() as copy:
            Writer(13, source).write(300)
            stop_lapsing(source)
            settle(source, copy)
            assert copy.command("SAVE") == (b"+", b"OK")
        replica.restart(kill=True)
        with replica.wire() as copy:
            settle(source, copy)
            assert differing(source, copy) == []
        assert info(source, "stats")["sync_full"] == "1"
