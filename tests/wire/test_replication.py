"""Replication seen from one side: a replica or a master made of a bare socket, so that every byte is known."""

from __future__ import annotations

import re
import socket
import time
from contextlib import closing

import pytest

from storage.aof.records import encode_record
from tests.harness.processes import ROOT
from tests.harness.replication import EMPTY_SNAPSHOT, ID, BareMaster, BareReplica, info, introduce, until
from tests.harness.wire import encode, plain
from tests.wire.test_scripts import skip_without_interpreter


@pytest.fixture
def master(start_server):
    return start_server("--repl-diskless-sync-delay", "0", "--save", "")


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_a_new_replica_gets_a_snapshot_and_then_a_stream_that_begins_with_select(start_server, diskless):
    server = start_server("--repl-diskless-sync-delay", "0", "--repl-diskless-sync", diskless, "--save", "")
    with server.wire() as client:
        client.command("SET", "before", "1")
        replica = BareReplica(server, "eof", "psync2")
        identity, offset = replica.full_sync()
        client.command("SELECT", "2")
        client.command("SET", "after", "1")
        assert replica.command() == [b"SELECT", b"2"]
        assert replica.command() == [b"SET", b"after", b"1"]
        fields = info(client)
        assert fields["master_replid"].encode() == identity
        expected = offset + len(encode_record((b"SELECT", b"2"))) + len(encode_record((b"SET", b"after", b"1")))
        assert int(fields["master_repl_offset"]) == expected


def test_a_replica_that_cannot_find_a_mark_gets_a_length(master):
    replica = BareReplica(master)
    assert replica.psync().startswith(b"+FULLRESYNC")
    assert re.fullmatch(rb"\$\d+", replica.line())


def test_the_old_sync_answers_with_the_snapshot_alone(master):
    replica = BareReplica(master)
    replica.wire.send(b"SYNC\r\n")
    assert replica.snapshot().startswith(b"REDIS")


@pytest.mark.parametrize("request_line", [b"SYNC\r\n", b"PSYNC ? -1\r\n"])
def test_no_link_begins_while_replies_wait(master, request_line):
    with master.wire() as client:
        client.send(b"PING\r\n" + request_line)
        assert client.read_raw() == b"+PONG\r\n"
        assert client.read_raw() == b"-ERR SYNC and PSYNC are invalid with pending output\r\n"


def test_flushall_ends_the_snapshot_that_is_on_its_way_to_replicas(master):
    with master.wire() as client:
        client.pipeline([[b"SET", b"key:%d" % number, b"v"] for number in range(100)])
        client.command("CONFIG", "SET", "rdb-key-save-delay", "100000")
        replica = BareReplica(master, "eof")
        assert replica.psync().startswith(b"+FULLRESYNC")
        master.wait_for_log("Background RDB transfer started")
        client.command("FLUSHALL")
        master.wait_for_log("Received SIGUSR1 in child, exiting now.")
        master.wait_for_log("SYNC failed. BGSAVE child returned an error")
        client.command("CONFIG", "SET", "rdb-key-save-delay", "0")


def test_what_happens_while_a_snapshot_is_sent_follows_it_in_order(master):
    with master.wire() as client:
        for number in range(2000):
            client.command("SET", f"key:{number}", "x" * 500)
        replica = BareReplica(master, "eof")
        assert replica.psync().startswith(b"+FULLRESYNC")
        for number in range(50):
            client.command("RPUSH", "list", number)
        snapshot = replica.snapshot()
        assert b"key:1999" in snapshot
        replica.acknowledge(0)
        assert replica.command() == [b"SELECT", b"0"]
        assert [replica.command() for _ in range(50)] == [[b"RPUSH", b"list", b"%d" % n] for n in range(50)]


def test_nothing_of_the_stream_is_sent_before_the_replica_acknowledged_a_snapshot_without_length(master):
    with master.wire() as client:
        replica = BareReplica(master, "eof")
        replica.psync()
        replica.snapshot()
        client.command("SET", "key", "value")
        replica.wire.expect_silence()
        replica.acknowledge(0)
        assert replica.command() == [b"SELECT", b"0"]


def test_units_are_wrapped_expiry_is_absolute_and_random_choices_are_told(master):
    with master.wire() as client:
        client.command("SADD", "set", "only")
        replica = BareReplica(master, "eof")
        replica.full_sync()
        client.command("MULTI")
        client.command("INCR", "a")
        client.command("INCR", "b")
        client.command("EXEC")
        client.command("SET", "k", "v", "EX", "100")
        client.command("SPOP", "set")
        client.command("INCRBYFLOAT", "f", "0.5")
        seen = [replica.command() for _ in range(8)]
        assert seen[:5] == [[b"MULTI"], [b"SELECT", b"0"], [b"INCR", b"a"], [b"INCR", b"b"], [b"EXEC"]]
        assert seen[5][:4] == [b"SET", b"k", b"v", b"PXAT"]
        assert seen[6] in ([b"SREM", b"set", b"only"], [b"DEL", b"set"])
        assert seen[7][:3] == [b"SET", b"f", b"0.5"]


def test_units_are_wrapped_also_after_deletions_that_were_not(start_server):
    master = start_server("--repl-diskless-sync-delay", "0", "--save", "", "--notify-keyspace-events", "Ex")
    listener, client = master.wire(), master.wire()
    listener.ask("SUBSCRIBE", "__keyevent@0__:expired")
    client.ask("SET", "lapses", "v", "PX", "1")
    listener.read()  # nobody but a subscriber heard of this end: there is no replica yet
    replica = BareReplica(master, "eof")
    replica.full_sync()
    for other in ("PING", "RANDOMKEY", "SCAN 0"):
        client.ask(*other.split())
        for command in ("MULTI", "SCAN 0", "INCR a", "INCR b", "EXEC"):
            client.ask(*command.split())
    transaction = [b"MULTI", b"INCR a", b"INCR b", b"EXEC"]
    told = [b" ".join(replica.command()) for _ in range(13)]
    assert told == [b"MULTI", b"SELECT 0", *transaction[1:], *transaction, *transaction]


def test_a_script_chooses_who_hears_of_its_writes_and_messages_are_not_logged(start_server):
    server = start_server("--appendonly", "yes", "--repl-diskless-sync-delay", "0")
    replica = BareReplica(server)
    replica.full_sync()
    with server.wire() as wire:
        skip_without_interpreter(wire)
        script = """redis.call('set', 'a', 1) redis.set_repl(redis.REPL_AOF) redis.call('set', 'log', 2)
            redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'replica', 3)
            redis.set_repl(redis.REPL_NONE) redis.call('set', 'none', 4) redis.call('publish', 'none', 5)"""
        wire.ask("EVAL", script, 0)
        wire.ask("PUBLISH", "channel", "text")
        assert wire.ask("EVAL_RO", "return redis.call('publish', 'c', 'm')", 0).startswith(b"-ERR Write commands ")
        wire.ask("SET", "end", 1)
    heard = []
    while not heard or heard[-1] != b"SET end 1":
        heard.append(b" ".join(replica.command()))
    one, end = b"MULTI SELECT 0 set a 1", b"EXEC"
    assert b" ".join(heard) == b"%b set replica 3 %b PUBLISH channel text SET end 1" % (one, end)

    def logged() -> bytes:
        log = b"".join(path.read_bytes() for path in (server.directory / "appendonlydir").glob("*.incr.aof"))
        return b" ".join(word for word in log.split(b"\r\n") if word and word[:1] not in b"*$")

    until(lambda: logged().endswith(b"SET end 1"), "the log has the end")
    assert logged() == b"%b set log 2 %b SET end 1" % (one, end)


def test_each_field_whose_time_came_is_deleted_by_a_command_of_its_own(start_server):
    master = start_server("--repl-diskless-sync-delay", "0", "--save", "", "--enable-debug-command", "yes")
    with master.wire() as client:
        replica = BareReplica(master, "eof")
        replica.full_sync()
        assert client.ask("DEBUG", "SET-ACTIVE-EXPIRE", "0") == b"OK"
        client.ask("HSET", "h", "a", "1", "b", "2", "c", "3", "d", "4")
        client.ask("HPEXPIRE", "h", "1", "FIELDS", "3", "a", "b", "c")
        while client.ask("HTTL", "h", "FIELDS", "1", "a") != [-2]:
            time.sleep(0.001)
        assert client.ask("HLEN", "h") == 4
        client.ask("HMGET", "h", "a", "d")
        client.ask("HRANDFIELD", "h")
        client.ask("HSET", "other", "a", "1", "b", "2", "c", "3")
        client.ask("HPEXPIRE", "other", "1", "FIELDS", "2", "a", "b")
        assert client.ask("DEBUG", "SET-ACTIVE-EXPIRE", "1") == b"OK"
        told = [replica.command() for _ in range(12)]
        words = [vector[0] if len(vector) > 3 else b" ".join(vector) for vector in told]
        assert words[:5] == [b"SELECT 0", b"HSET", b"HPEXPIREAT", b"HDEL h a", b"MULTI"]
        assert sorted(words[5:7]) == [b"HDEL h b", b"HDEL h c"]
        assert words[7:10] == [b"EXEC", b"HSET", b"HPEXPIREAT"]
        assert sorted(words[10:]) == [b"HDEL other a", b"HDEL other b"]


def test_a_replica_that_comes_back_gets_exactly_the_bytes_it_missed(master):
    with master.wire() as client:
        replica = BareReplica(master, "eof", "psync2")
        identity, offset = replica.full_sync()
        replica.wire.close()
        until(lambda: info(client)["connected_slaves"] == "0")
        client.command("SET", "missed", "1")
        client.command("SET", "also", "2")
        again = BareReplica(master, "psync2")
        assert again.psync(identity, offset + 1) == b"+CONTINUE " + identity
        assert [again.command() for _ in range(3)] == [
            [b"SELECT", b"0"],
            [b"SET", b"missed", b"1"],
            [b"SET", b"also", b"2"],
        ]
        in_the_middle = BareReplica(master, "psync2")
        skipped = len(encode_record((b"SELECT", b"0")))
        assert in_the_middle.psync(identity, offset + 1 + skipped).startswith(b"+CONTINUE")
        assert in_the_middle.command() == [b"SET", b"missed", b"1"]
        stats = info(client, "stats")
        assert (stats["sync_full"], stats["sync_partial_ok"]) == ("1", "2")


def test_an_unknown_history_and_an_offset_out_of_the_backlog_cost_a_full_synchronisation(start_server):
    server = start_server("--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16384", "--save", "")
    with server.wire() as client:
        replica = BareReplica(server, "eof")
        identity, offset = replica.full_sync()
        assert BareReplica(server, "eof").psync(ID, 1).startswith(b"+FULLRESYNC")
        client.command("SET", "big", "x" * 100_000)
        assert BareReplica(server, "eof").psync(identity, offset + 1).startswith(b"+FULLRESYNC")
        fields = info(client)
        held = int(fields["repl_backlog_histlen"])
        assert 16384 <= held < 2 * 16384  # whole chunks are dropped
        first = int(fields["repl_backlog_first_byte_offset"])
        assert first == int(fields["master_repl_offset"]) - held + 1
        assert BareReplica(server, "eof").psync(identity, first) == b"+CONTINUE"
        assert info(client, "stats")["sync_partial_err"] == "2"


def test_several_replicas_share_one_snapshot(start_server):
    server = start_server("--repl-diskless-sync-delay", "1", "--save", "")
    with server.wire() as client:
        replicas = [BareReplica(server, "eof") for _ in range(3)]
        for replica in replicas:
            replica.wire.send(encode("PSYNC", "?", "-1"))
        answers = {replica.line() for replica in replicas}
        assert len(answers) == 1
        assert len({replica.snapshot() for replica in replicas}) == 1
        assert info(client, "stats")["total_forks"] == "1"


def test_wait_asks_and_counts_who_has_everything(master):
    with master.wire() as client:
        replica = BareReplica(master, "eof")
        _, offset = replica.full_sync()
        client.command("SET", "key", "value")
        client.send(encode("WAIT", "1", "0"))
        seen = [replica.command()]
        while seen[-1] != [b"REPLCONF", b"GETACK", b"*"]:
            seen.append(replica.command())
        replica.acknowledge(offset + sum(len(encode_record(argv)) for argv in seen[:-1]))
        assert client.read() == (b":", b"1")
        client.command("SET", "key", "other")
        assert client.command("WAIT", "1", "30") == (b":", b"0")
        assert client.command("WAIT", 2**31, "0") == (b":", b"0")  # as a C int it is less than none


def test_wait_waits_for_what_its_own_client_wrote(master):
    """A replica that is behind is good enough for who wrote nothing."""
    with master.wire() as writer, master.wire() as reader:
        replica = BareReplica(master, "eof")
        replica.full_sync()
        until(lambda: "state=online" in info(writer).get("slave0", ""))
        writer.command("SET", "key", "value")
        for command in (("PING",), ("GET", "key"), ("DEL", "nothing"), ("SET", "key", "other", "NX")):
            reader.command(*command)
            assert reader.ask("WAIT", "1", "5000") == 1
        assert reader.ask("WAITAOF", "0", "1", "5000") == [0, 1]
        for command in (("SET", "key", "v"), ("PUBLISH", "channel", "message"), ("INCR", "number")):
            with master.wire() as other:
                other.command(*command)
                assert other.ask("WAIT", "1", "20") == 0
        # In one packet, where the turn's offset is not known yet.
        with master.wire() as other:
            other.send(encode("SET", "key", "v") + encode("WAIT", "1", "20"))
            assert [other.read(), other.read()] == [(b"+", b"OK"), (b":", b"0")]


def test_role_and_info_describe_the_replica(master):
    with master.wire() as client:
        replica = BareReplica(master, "eof")
        _, offset = replica.full_sync()
        until(lambda: "state=online" in info(client).get("slave0", ""))
        replica.acknowledge(offset)
        assert info(client)["slave0"].startswith("ip=127.0.0.1,port=7777,state=online,offset=%d,lag=" % offset)
        role = plain(client.command("ROLE"))
        assert role[0] == b"master"
        assert role[2] == [[b"127.0.0.1", b"7777", b"%d" % offset]]
        assert b" flags=S " in client.ask("CLIENT", "LIST", "TYPE", "replica")


def test_writes_need_as_many_replicas_as_configured(master):
    with master.wire() as client:
        client.command("CONFIG", "SET", "min-replicas-to-write", "1")
        kind, text = client.command("SET", "key", "value")
        assert (kind, text) == (b"-", b"NOREPLICAS Not enough good replicas to write.")
        replica = BareReplica(master, "eof")
        replica.full_sync()
        until(lambda: client.command("SET", "key", "value") == (b"+", b"OK"))
        replica.wire.close()
        until(lambda: client.command("SET", "key", "value")[0] == b"-")


def test_a_replica_that_does_not_read_is_dropped_at_its_limit(start_server):
    limit = "replica 2000000 0 0"
    server = start_server(
        "--repl-diskless-sync-delay", "0", "--save", "", "--client-output-buffer-limit", *limit.split()
    )
    with server.wire() as client:
        replica = BareReplica(server, "eof")
        replica.full_sync()
        value = "x" * 100_000
        for _ in range(400):
            client.command("SET", "key", value)
            if info(client)["connected_slaves"] == "0":
                break
        else:
            raise AssertionError("40 MB wait for a replica that may have 2 MB waiting")


def test_a_replica_that_reads_nothing_of_its_snapshot_is_dropped_at_its_limit(start_server):
    server = start_server(
        "--repl-diskless-sync-delay", "0", "--save", "", "--client-output-buffer-limit", "replica", "2000000", "0", "0"
    )
    with server.wire() as client:
        for number in range(300):
            client.command("SET", f"key:{number}", "x" * 100_000)
        replica = BareReplica(server, "eof")
        assert replica.psync().startswith(b"+FULLRESYNC")
        for _ in range(30):
            client.command("SET", "key:0", "x" * 100_000)
        until(lambda: info(client)["connected_slaves"] == "0", "it is dropped")
        until(lambda: info(client, "stats")["total_forks"] == "1", "nothing is begun for nobody")


def test_a_replica_that_takes_nothing_is_dropped_in_time(start_server):
    server = start_server("--repl-diskless-sync-delay", "0", "--save", "", "--repl-timeout", "1")
    with server.wire() as client:
        for number in range(300):
            client.command("SET", f"key:{number}", "x" * 100_000)
        replica = BareReplica(server, "eof")
        replica.wire.send(encode("PSYNC", "?", "-1"))
        server.wait_for_log("Disconnecting timedout replica (full sync)")
        until(lambda: info(client)["connected_slaves"] == "0", "it is gone")


def test_a_replica_may_not_touch_keys(master):
    replica = BareReplica(master, "eof")
    replica.full_sync()
    replica.wire.send(encode("SET", "key", "value"))
    with master.wire() as client:
        client.command("PING")
        assert client.command("EXISTS", "key") == (b":", b"0")


def test_filters_leave_out_the_data(master):
    with master.wire() as client:
        client.command("SET", "key-to-be-left-out", "value")
        replica = BareReplica(master, "eof")
        replica.wire.command("REPLCONF", "rdb-only", "1")
        replica.wire.command("REPLCONF", "rdb-filter-only", "functions")
        replica.psync()
        assert b"key-to-be-left-out" not in replica.snapshot()
        assert replica.wire.read_until_closed() == b""


def test_what_a_replica_may_say_of_itself(master):
    name = "replica-0." + "x" * 245
    with master.wire() as link:
        ask = link.ask
        assert ask("REPLCONF", "rdb-only", "2") == b"-ERR value is out of range, value must between 0 and 1"
        assert ask("REPLCONF", "rdb-only", "x") == b"-ERR value is not an integer or out of range"
        assert ask("REPLCONF", "listening-port", "x") == b"-ERR value is not an integer or out of range"
        assert ask("REPLCONF", "ip-address", name) == b"OK"  # the name of a host, as containers have them
        refusal = b"-ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes"
        assert ask("REPLCONF", "ip-address", name + "x") == refusal


# A master made of a socket ----------------------------------------------------------------------------------------


@pytest.fixture
def bare_master():
    master = BareMaster()
    yield master
    master.close()


@pytest.fixture
def replica(start_server, bare_master):
    server = start_server("--save", "", "--repl-diskless-sync-delay", "0")
    with server.wire() as client:
        assert client.command("REPLICAOF", "127.0.0.1", bare_master.port) == (b"+", b"OK")
    return server


STREAM = b"".join(
    [
        encode_record((b"SELECT", b"1")),
        encode_record((b"SET", b"key", b"value")),
        b"\n",
        b"PING\r\n",
        encode_record((b"MULTI",)),
        encode_record((b"SET", b"a", b"\r\n*1\r\n$4\r\nPING\r\n")),
        encode_record((b"RPUSH", b"list", b"1", b"2", b"")),
        encode_record((b"EXEC",)),
        encode_record((b"SET", b"big", b"y" * 100_000)),
        encode_record((b"INCR", b"n")),
    ]
)


@pytest.mark.parametrize("load", ["disabled", "swapdb", "on-empty-db"])
@pytest.mark.parametrize("frame", ["length", "mark"])
def test_a_snapshot_and_the_commands_after_it_arrive_in_any_split(start_server, frame, load):
    server = start_server("--save", "", "--repl-diskless-load", load)
    for offset, step in ((1000, 1), (2000, 7), (3000, 1 << 20)):
        with server.wire() as client, closing(BareMaster()) as bare_master:
            client.command("CONFIG", "RESETSTAT")
            client.command("REPLICAOF", "127.0.0.1", bare_master.port)
            bare_master.accept()
            mark = b"m" * 40
            head = b"$%d\r\n" % len(EMPTY_SNAPSHOT) if frame == "length" else b"$EOF:%b\r\n" % mark
            tail = b"" if frame == "length" else mark
            data = b"\n+FULLRESYNC %b %d\r\n\n" % (ID, offset) + head + EMPTY_SNAPSHOT + tail + STREAM
            bare_master.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            small = data[:600] if step < 100 else b""
            for at in range(0, len(small), step):
                bare_master.link.sendall(small[at : at + step])
            bare_master.link.sendall(data[len(small) :])
            applied = offset + len(STREAM)
            until(lambda applied=applied: info(client)["slave_repl_offset"] == str(applied), "all is applied")
            counted = client.ask("INFO", "commandstats")
            assert b"cmdstat_multi:calls=1," in counted and b"cmdstat_exec:calls=1," in counted
            client.command("SELECT", "1")
            assert client.ask("GET", "a") == b"\r\n*1\r\n$4\r\nPING\r\n"
            assert client.ask("STRLEN", "big") == 100_000
            assert client.ask("LRANGE", "list", "0", "-1") == [b"1", b"2", b""]
            assert client.ask("GET", "n") == b"1"  # applied once, to what the snapshot left
            bare_master.link.sendall(encode_record((b"REPLCONF", b"GETACK", b"*")) * 2)
            until(lambda applied=applied: bare_master.acknowledged() == applied)
            until(lambda applied=applied: bare_master.acknowledged() == applied + 37)


def test_a_link_cut_inside_a_transaction_resumes_before_it(replica, bare_master):
    whole = encode_record((b"SELECT", b"0")) + encode_record((b"SET", b"k", b"1"))
    begun = encode_record((b"MULTI",)) + encode_record((b"INCR", b"k"))
    introduce(bare_master, whole + begun)
    with replica.wire() as client:
        until(lambda: info(client)["slave_read_repl_offset"] == str(len(whole + begun)))
        assert info(client)["slave_repl_offset"] == str(len(whole))
        assert client.ask("GET", "k") == b"1"
        bare_master.link.close()
        assert bare_master.accept() == [b"PSYNC", ID, b"%d" % (len(whole) + 1)]
        bare_master.link.sendall(b"+CONTINUE\r\n" + begun + encode_record((b"EXEC",)))
        until(lambda: client.ask("GET", "k") == b"2")


def test_a_replica_says_who_it_is_and_logs_in(start_server, bare_master):
    server = start_server(
        "--save", "", "--masterauth", "secret", "--masteruser", "me",
        "--replica-announce-ip", "10.1.2.3", "--replica-announce-port", "1234",
        "--replicaof", f"127.0.0.1 {bare_master.port}",
    )  # fmt: skip
    assert bare_master.accept() == [b"PSYNC", b"?", b"-1"]
    assert [b"AUTH", b"me", b"secret"] in bare_master.asked
    assert [b"REPLCONF", b"listening-port", b"1234"] in bare_master.asked
    assert [b"REPLCONF", b"ip-address", b"10.1.2.3"] in bare_master.asked
    assert [b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"] in bare_master.asked
    with server.wire() as client:
        role = plain(client.command("ROLE"))
        assert role == [b"slave", b"127.0.0.1", bare_master.port, b"handshake", -1]


def test_clients_may_read_a_replica_but_not_write(replica, bare_master):
    introduce(bare_master)
    with replica.wire() as client:
        until(lambda: info(client)["master_link_status"] == "up")
        kind, text = client.command("SET", "key", "value")
        assert (kind, text) == (b"-", b"READONLY You can't write against a read only replica.")
        client.command("CONFIG", "SET", "replica-read-only", "no")
        assert client.command("SET", "key", "value") == (b"+", b"OK")
        assert b" flags=M " in client.ask("CLIENT", "LIST", "TYPE", "master")
        kind, text = client.command("WAIT", "1", "0")
        assert text.startswith(b"ERR WAIT cannot be used with replica instances.")


def test_stale_data_is_refused_where_it_is_not_wanted(start_server, bare_master):
    server = start_server("--save", "", "--replica-serve-stale-data", "no")
    with server.wire() as client:
        client.command("REPLICAOF", "127.0.0.1", bare_master.port)
        kind, text = client.command("GET", "key")
        assert text == b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
        introduce(bare_master)
        until(lambda: client.command("GET", "key") == (b"$", None))
        bare_master.close()
        until(lambda: client.command("GET", "key")[0] == b"-")


def test_a_replica_hides_what_lapsed_and_waits_for_its_masters_del(replica, bare_master):
    lapsed = encode_record((b"SELECT", b"0")) + encode_record((b"SET", b"k", b"v", b"PXAT", b"1"))
    introduce(bare_master, lapsed + encode_record((b"SET", b"k2", b"10", b"PXAT", b"1")))
    with replica.wire() as client:
        until(lambda: client.ask("DBSIZE") == 2)
        assert client.ask("GET", "k") is None
        assert client.ask("DBSIZE") == 2
        # The master did not see it as gone when it wrote this.
        bare_master.link.sendall(encode_record((b"INCR", b"k2")) + encode_record((b"PERSIST", b"k2")))
        until(lambda: client.ask("GET", "k2") == b"11")
        bare_master.link.sendall(encode_record((b"DEL", b"k")))
        until(lambda: client.ask("DBSIZE") == 1)
        # Who may write to it ends what is hidden.
        for key in (b"lapsed", b"hidden"):
            bare_master.link.sendall(encode_record((b"SET", key, b"v", b"PXAT", b"1")))
        until(lambda: client.ask("DBSIZE") == 3)
        client.command("CONFIG", "SET", "replica-read-only", "no")
        assert client.ask("LREM", "lapsed", "0", "x") == 0
        assert info(client, "stats")["expired_keys"] == "1"
        assert client.ask("GET", "hidden") is None and client.ask("DEL", "hidden") == client.ask("DBSIZE") == 1


def test_a_blocked_client_is_let_go_when_its_server_becomes_a_replica(start_server, bare_master):
    server = start_server("--save", "")
    with server.wire() as client, server.wire() as waiter:
        waiter.send(encode("BLPOP", "list", "0"))
        until(lambda: info(client, "clients")["blocked_clients"] == "1")
        client.command("REPLICAOF", "127.0.0.1", bare_master.port)
        assert waiter.read()[1].startswith(b"UNBLOCKED force unblock from blocking operation, instance state changed")


def test_a_silent_master_stalls_nobody(start_server, bare_master):
    server = start_server("--save", "", "--repl-timeout", "1")
    with server.wire() as client:
        client.command("REPLICAOF", "127.0.0.1", bare_master.port)
        began = time.monotonic()
        for _ in range(100):
            client.command("PING")
        assert time.monotonic() - began < 1.0
        server.wait_for_log("Timeout connecting to the MASTER...")


def test_a_broken_snapshot_is_asked_for_again(replica, bare_master):
    bare_master.accept()
    broken = EMPTY_SNAPSHOT.replace(b"\xff", b"\xf3", 1)
    bare_master.link.sendall(b"+FULLRESYNC %b 0\r\n$%d\r\n" % (ID, len(broken)) + broken)
    replica.wait_for_log("Failed trying to load the MASTER synchronization DB")
    introduce(bare_master)
    with replica.wire() as client:
        until(lambda: info(client)["master_link_status"] == "up")


def test_a_promoted_replica_goes_on_with_the_history_for_who_shares_it(replica, bare_master):
    stream = encode_record((b"SELECT", b"0")) + encode_record((b"SET", b"k", b"v"))
    introduce(bare_master, stream)
    with replica.wire() as client:
        until(lambda: client.ask("GET", "k") == b"v")
        client.command("REPLICAOF", "NO", "ONE")
        client.command("SET", "mine", "1")
        fields = info(client)
        assert fields["master_replid2"].encode() == ID
        assert fields["second_repl_offset"] == str(len(stream) + 1)
        sibling = BareReplica(replica, "psync2")
        assert sibling.psync(ID, len(stream) + 1) == b"+CONTINUE " + fields["master_replid"].encode()
        assert sibling.command() == [b"SELECT", b"0"]
        assert sibling.command() == [b"SET", b"mine", b"1"]
        too_far = BareReplica(replica, "eof")
        assert too_far.psync(ID, len(stream) + 2).startswith(b"+FULLRESYNC")


def test_loading_a_large_snapshot_answers_others_meanwhile(start_server, start_real, bare_master):
    real = start_real("--repl-diskless-sync-delay", "0")
    with real.wire() as source:
        source.command("DEBUG", "POPULATE", "200000", "key", "50")
    server = start_server("--save", "")
    slowest = 0.0
    with server.wire() as client:
        client.command("REPLICAOF", "127.0.0.1", real.port)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and info(client)["master_link_status"] != "up":
            began = time.monotonic()
            client.command("PING")
            slowest = max(slowest, time.monotonic() - began)
        assert client.ask("DBSIZE") == 200000
    assert slowest < 0.5


def test_a_master_known_by_name_is_found_while_others_are_served(start_server, bare_master, tmp_path):
    """A name server that is silent stalls nobody, here played by a resolver that takes its time."""
    (tmp_path / "sitecustomize.py").write_text(
        "import socket, time\n"
        "known = socket.getaddrinfo\n"
        "def slow(host, port, family=0, type=0, proto=0, flags=0):\n"
        "    if host == b'master.example':\n"
        "        if flags: raise socket.gaierror(-2, 'Name or service not known')\n"
        "        time.sleep(0.7)\n"
        "        return known('127.0.0.1', port, family, type)\n"
        "    return known(host, port, family, type, proto, flags)\n"
        "socket.getaddrinfo = slow\n"
    )
    server = start_server("--save", "", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    with server.wire() as client:
        client.command("REPLICAOF", "master.example", bare_master.port)
        slowest = 0.0
        began = time.monotonic()
        while time.monotonic() - began < 0.5:
            asked = time.monotonic()
            assert plain(client.command("ROLE"))[3] in (b"connect", b"connecting")
            slowest = max(slowest, time.monotonic() - asked)
        assert slowest < 0.4
        introduce(bare_master)
        until(lambda: info(client)["master_link_status"] == "up")
        client.command("REPLICAOF", "no such host", "1")
        server.wait_for_log("Unable to connect to MASTER: ")


def test_threads_are_not_needed_for_any_of_this(replica, bare_master):
    introduce(bare_master)
    with replica.wire() as client:
        until(lambda: info(client)["master_link_status"] == "up")
    with open(f"/proc/{replica.pid}/status", encoding="ascii") as status:
        assert "Threads:\t1\n" in status.read()


def test_a_master_user_needs_psync_and_what_the_master_refuses_is_logged(start_server):
    master, replica = start_server("--repl-diskless-sync-delay", "0"), start_server("--masteruser", "u")
    with master.wire() as wire, replica.wire() as other:

        def follow() -> None:  # at once, not a second after the last attempt
            other.command("REPLICAOF", "NO", "ONE")
            other.command("REPLICAOF", "127.0.0.1", master.port)

        wire.command("ACL", "SETUSER", "u", "on", ">pw", "+replconf", "+ping")
        other.command("CONFIG", "SET", "masterauth", "wrong")
        follow()
        until(lambda: "Unable to AUTH to MASTER: -WRONGPASS invalid username-password pair" in replica.log())
        other.command("CONFIG", "SET", "masterauth", "pw")
        follow()
        refused = "MASTER aborted replication with an error: NOPERM User u has no permissions to run the 'sync' command"
        until(lambda: refused in replica.log())
        wire.command("ACL", "SETUSER", "u", "+psync", "-replconf", "-ping")
        follow()
        until(lambda: info(other)["master_link_status"] == "up")
        wire.command("ACL", "DELUSER", "u")
        until(lambda: info(other)["master_link_status"] == "down")
