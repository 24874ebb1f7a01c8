"""Replication at its edges: what survives restarts, broken transfers and links that say what they should not."""

from __future__ import annotations

import signal
import time

import pytest

from storage.aof.records import encode_record
from tests.harness.replication import EMPTY_SNAPSHOT, ID, BareMaster, BareReplica, info, introduce, until
from tests.harness.wire import encode


@pytest.fixture
def bare_master():
    master = BareMaster()
    yield master
    master.close()


def ready_replica(client, bare_master) -> None:
    """Make the server a replica that has an empty data set."""
    client.command("REPLICAOF", "127.0.0.1", bare_master.port)
    introduce(bare_master)
    until(lambda: info(client)["master_link_status"] == "up")


@pytest.mark.parametrize("command", [("PING",), ("GET", "key"), ("NOSUCH",), ("REPLCONF", "listening-port", "1")])
def test_a_replica_whose_command_would_be_answered_is_disconnected(start_server, command):
    server = start_server("--repl-diskless-sync-delay", "0", "--save", "")
    with server.wire() as client:
        replica = BareReplica(server, "eof")
        replica.full_sync()
        until(lambda: "state=online" in info(client).get("slave0", ""))
        replica.wire.send(encode(*command))
        assert replica.wire.read_until_closed() == b""
        name = "<unknown>" if command[0] == "NOSUCH" else command[0].lower()
        server.wait_for_log(f"Replica generated a reply to command '{name}', disconnecting it: id=")


def test_a_replica_that_asks_to_monitor_is_not_heard(start_server):
    server = start_server("--repl-diskless-sync-delay", "0", "--save", "")
    with server.wire() as client:
        replica = BareReplica(server, "eof")
        replica.full_sync()
        until(lambda: "state=online" in info(client).get("slave0", ""))
        replica.wire.send(encode("MONITOR") + encode("REPLCONF", "ACK", "1"))
        until(lambda: "offset=1," in info(client)["slave0"])
        assert "generated a reply" not in server.log()


def test_replicaof_connects_before_the_next_command(start_server, bare_master):
    server = start_server("--save", "")
    with server.wire() as client:
        client.send(encode("MULTI") + encode("REPLICAOF", "127.0.0.1", bare_master.port) + encode("ROLE"))
        for _ in range(3):
            client.read()
        assert client.ask("EXEC")[1][3] == b"connecting"
        log = server.log()
        assert log.index("MASTER <-> REPLICA sync started") < log.index(f"REPLICAOF 127.0.0.1:{bare_master.port}")


def test_what_waited_for_a_failover_that_failed_reaches_the_replicas(start_server):
    server = start_server("--repl-diskless-sync-delay", "0", "--save", "")
    bare = BareMaster()  # the chosen replica, which refuses to take over
    with server.wire() as client, server.wire() as writer:
        replica = BareReplica(server, "eof", "psync2")
        replica.wire.command("REPLCONF", "listening-port", bare.port)
        identity, _ = replica.full_sync()
        until(lambda: "state=online" in info(client).get("slave0", ""))
        client.command("SET", "before", "1")
        assert client.command("FAILOVER", "TO", "127.0.0.1", bare.port) == (b"+", b"OK")
        writer.send(encode("SET", "key", "value"))
        until(lambda: info(client, "clients")["blocked_clients"] == "1")  # held back, that is
        replica.acknowledge(int(info(client)["master_repl_offset"]))
        assert bare.accept()[-1] == b"FAILOVER"
        assert info(client)["master_failover_state"] == "failover-in-progress"
        bare.link.sendall(b"-NOPERM no\r\n")
        assert writer.read() == (b"+", b"OK")
        server.wait_for_log("Unexpected reply to PSYNC from master: -NOPERM no")
        server.wait_for_log("aborted: Failover target rejected psync request")
        # Under its new name the history goes on, and has the write.
        again = BareReplica(server, "eof", "psync2")
        state = info(client)
        assert state["master_replid2"].encode() == identity
        answer = again.psync(identity, int(state["second_repl_offset"]))
        assert answer == b"+CONTINUE " + state["master_replid"].encode()
        assert [again.command(), again.command()] == [[b"SELECT", b"0"], [b"SET", b"key", b"value"]]
    bare.close()


def test_a_write_that_a_shutdown_holds_back_is_never_acknowledged(start_server):
    """Replicas would miss it, and so would the last snapshot."""
    server = start_server("--repl-diskless-sync-delay", "0", "--save", "900 1", "--shutdown-timeout", "1")
    with server.wire() as client, server.wire() as writer:
        replica = BareReplica(server, "eof")
        replica.full_sync()
        until(lambda: "state=online" in info(client).get("slave0", ""))
        client.command("SET", "key", "before")
        server.signal(signal.SIGTERM)
        until(lambda: int(info(client, "server").get("shutdown_in_milliseconds", 0)) > 0)
        writer.send(encode("SET", "key", "after"))
        assert writer.read_until_closed() == b""
        server.wait()
        assert "0 of 1 replicas are in sync when shutting down." in server.log()
    server.start()
    with server.wire() as client:
        assert client.ask("GET", "key") == b"before"


def test_client_pause_holds_what_a_master_sends_until_it_ends(start_server, bare_master):
    server = start_server("--save", "")
    with server.wire() as client:
        ready_replica(client, bare_master)
        offset = int(info(client)["master_repl_offset"])
        client.command("CLIENT", "PAUSE", 100_000, "WRITE")
        bare_master.link.sendall(encode("PING") + encode("SELECT", "0"))
        until(lambda: int(info(client)["master_repl_offset"]) > offset)  # what is no write goes on
        passed = int(info(client)["master_repl_offset"])
        bare_master.link.sendall(encode("SET", "key", "value") + encode("PING"))
        until(lambda: info(client, "clients")["blocked_clients"] == "1")
        assert client.ask("GET", "key") is None
        state = info(client)
        assert int(state["master_repl_offset"]) == passed < int(state["slave_read_repl_offset"])
        client.command("CLIENT", "UNPAUSE")
        until(lambda: client.ask("GET", "key") == b"value")
        until(lambda: info(client)["master_repl_offset"] == info(client)["slave_read_repl_offset"])
        assert info(client, "clients")["blocked_clients"] == "0"


def test_a_second_shutdown_joins_the_one_that_waits_and_changes_nothing(start_server):
    server = start_server("--repl-diskless-sync-delay", "0", "--save", "", "--shutdown-timeout", "30")
    with server.wire() as first, server.wire() as second, server.wire() as client:
        replica = BareReplica(server, "eof")
        replica.full_sync()
        until(lambda: "state=online" in info(client).get("slave0", ""))
        client.command("SET", "key", "value")
        first.send(encode("SHUTDOWN"))
        until(lambda: int(info(client, "server").get("shutdown_in_milliseconds", 0)) > 0)
        second.send(encode("SHUTDOWN", "NOW"))
        until(lambda: info(client, "clients")["blocked_clients"] == "2")
        assert client.command("SHUTDOWN", "ABORT") == (b"+", b"OK")
        assert first.read() == second.read() == (b"-", b"ERR Errors trying to SHUTDOWN. Check logs.")
        assert server.log().count("User requested shutdown") == 1


@pytest.mark.parametrize("role", ["master", "replica"])
def test_a_shutdown_waits_for_replicas_that_have_no_snapshot_yet_and_for_those_of_a_replica(
    start_server, bare_master, role
):
    """Ended at once, it took what it had not handed on with it: nobody was there whom a sentinel could promote."""
    server = start_server("--repl-diskless-sync-delay", "60", "--save", "", "--shutdown-timeout", "30")
    with server.wire() as client, server.wire() as asker:
        if role == "replica":
            client.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
            ready_replica(client, bare_master)
        replica = BareReplica(server, "eof", "psync2")
        if role == "replica":
            replica.full_sync()
            until(lambda: "state=online" in info(client).get("slave0", ""))
            bare_master.link.sendall(encode("SET", "key", "value"))
            until(lambda: b"SET" in replica.command())
        else:
            replica.wire.send(encode("PSYNC", "?", "-1"))
            until(lambda: "state=wait_bgsave" in info(client).get("slave0", ""))
            client.command("SET", "key", "value")
        offset = int(info(client)["master_repl_offset"])
        server.signal(signal.SIGTERM)
        until(lambda: int(info(client, "server").get("shutdown_in_milliseconds", 0)) > 0)
        # A replica's stream is its master's: nothing of its own gets into it, while a master asks where replicas are.
        question = encode("REPLCONF", "GETACK", "*") if role == "master" else b""
        assert int(info(client)["master_repl_offset"]) == offset + len(question)
        assert asker.command("SHUTDOWN", "ABORT") == (b"+", b"OK")


def test_keys_that_lapsed_while_a_master_was_down_are_deleted_from_its_replicas(start_server):
    server = start_server("--repl-diskless-sync-delay", "0", "--save", "900 1", "--enable-debug-command", "yes")
    with server.wire() as client:
        replica = BareReplica(server, "eof", "psync2")
        identity, offset = replica.full_sync()
        client.command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        client.command("SET", "lapsed", "value", "PX", "1")
        client.command("SET", "key", "value")
        time.sleep(0.01)
        client.send(encode("SHUTDOWN", "NOW"))
        server.wait()
    server.start()
    with server.wire() as client:
        state = info(client)
        assert state["master_replid2"].encode() == identity
        again = BareReplica(server, "eof", "psync2")
        assert again.psync(identity, int(state["second_repl_offset"])).startswith(b"+CONTINUE ")
        assert [again.command(), again.command()] == [[b"SELECT", b"0"], [b"DEL", b"lapsed"]]


def test_a_logs_base_claims_no_place_in_the_stream(start_server):
    """Replayed, the log goes on behind it; who continued from there would apply commands twice."""
    server = start_server("--repl-diskless-sync-delay", "0", "--save", "", "--appendonly", "yes")
    with server.wire() as client:
        BareReplica(server, "eof").full_sync()
        client.command("BGREWRITEAOF")
        until(lambda: info(client, "persistence")["aof_rewrite_in_progress"] == "0")
        (base,) = (server.directory / "appendonlydir").glob("*.base.rdb")
        assert b"aof-base" in base.read_bytes()
        assert b"repl-id" not in base.read_bytes()


@pytest.mark.parametrize("is_same_history", [True, False])
def test_old_data_survives_a_transfer_that_breaks(start_server, bare_master, is_same_history):
    """It is served meanwhile if the new data is a later state of it."""
    server = start_server("--save", "", "--repl-diskless-load", "swapdb")
    with server.wire() as client:
        ready_replica(client, bare_master)
        bare_master.link.sendall(encode_record((b"SELECT", b"0")) + encode_record((b"SET", b"key", b"old")))
        until(lambda: client.ask("GET", "key") == b"old")
        bare_master.link.close()
        bare_master.accept()
        identity = ID if is_same_history else b"f" * 40
        half = EMPTY_SNAPSHOT[:9]
        bare_master.link.sendall(b"+FULLRESYNC %b 500\r\n$EOF:%b\r\n" % (identity, b"m" * 40) + half + b"\xfb")
        field = "async_loading" if is_same_history else "loading"
        until(lambda: info(client, "persistence")[field] == "1")
        if is_same_history:
            assert info(client, "persistence")["loading"] == "0"
            assert client.ask("GET", "key") == b"old"
            assert client.command("REPLICAOF", "NO", "ONE")[1].startswith(b"LOADING")
            assert client.command("CONFIG", "SET", "appendonly", "yes")[1].startswith(b"LOADING")
        else:
            assert client.command("GET", "key")[1].startswith(b"LOADING")
        bare_master.link.close()
        server.wait_for_log("Internal error in RDB reading offset")
        server.wait_for_log("Discarding temporary DB in background")
        until(lambda: info(client, "persistence")[field] == "0")
        assert client.ask("GET", "key") == b"old"
        introduce(bare_master)
        until(lambda: client.ask("DBSIZE") == 0)
        assert "Swapping active DB with loaded DB" in server.log()  # the last one was of the same history


@pytest.mark.parametrize("deletes", ["no", "yes"])
def test_a_replica_keeps_the_snapshot_it_was_sent(start_server, bare_master, deletes):
    server = start_server("--save", "", "--rdb-del-sync-files", deletes)
    with server.wire() as client:
        ready_replica(client, bare_master)
        assert (server.directory / "dump.rdb").exists() == (deletes == "no")
        assert not list(server.directory.glob("temp-*"))


def test_a_snapshot_that_nobody_waits_for_any_more_is_given_up(start_server):
    server = start_server("--save", "", "--repl-diskless-sync", "no", "--rdb-key-save-delay", "1000000")
    with server.wire() as client:
        client.pipeline([(b"SET", b"key:%d" % number, b"value") for number in range(100)])
        replicas = [BareReplica(server, "eof") for _ in range(2)]
        for replica in replicas:
            replica.wire.send(encode("PSYNC", "?", "-1"))
            replica.line()
        assert info(client, "persistence")["rdb_bgsave_in_progress"] == "1"
        replicas[0].wire.close()
        until(lambda: info(client)["connected_slaves"] == "1")
        assert info(client, "persistence")["rdb_bgsave_in_progress"] == "1"
        replicas[1].wire.close()
        until(lambda: info(client, "persistence")["rdb_bgsave_in_progress"] == "0")


def test_what_a_waiting_replica_needs_stays_in_the_backlog_beyond_its_size(start_server):
    server = start_server(
        "--save", "", "--repl-diskless-sync-delay", "0", "--rdb-key-save-delay", "1000000",
        "--repl-backlog-size", "16384",
    )  # fmt: skip
    with server.wire() as client:
        client.command("SET", "key", "value")
        replica = BareReplica(server, "eof")
        replica.psync()
        for _ in range(10):
            client.command("SET", "key", "x" * 100_000)
        state = info(client)
        assert int(state["repl_backlog_histlen"]) > 1_000_000
        assert int(info(client, "memory")["mem_total_replication_buffers"]) > 1_000_000
        # Good for others as well.
        other = BareReplica(server, "eof", "psync2")
        assert other.psync(state["master_replid"], state["repl_backlog_first_byte_offset"]).startswith(b"+CONTINUE")
        replica.wire.close()
        until(lambda: int(info(client)["repl_backlog_histlen"]) < 2 * 16384)


def test_keys_that_a_writable_replicas_clients_let_expire_are_deleted(start_server, bare_master):
    server = start_server("--save", "", "--replica-read-only", "no")
    with server.wire() as client:
        ready_replica(client, bare_master)
        stream = encode_record((b"SELECT", b"0")) + encode_record((b"SET", b"masters", b"v", b"PXAT", b"1"))
        bare_master.link.sendall(stream)
        until(lambda: client.ask("DBSIZE") == 1)
        client.command("SET", "own", "value", "PX", "1")
        until(lambda: client.ask("DBSIZE") == 1)
        assert info(client, "stats")["slave_expires_tracked_keys"] == "0"


@pytest.mark.parametrize("between", ["another master", "a restart"])
def test_the_stream_goes_on_in_the_database_it_was_in(start_server, bare_master, between):
    """A master that accepts a partial resynchronisation does not select it again."""
    server = start_server("--save", "", "--replicaof", f"127.0.0.1 {bare_master.port}", "--databases", "16")
    introduce(bare_master, encode_record((b"SELECT", b"9")) + encode_record((b"SET", b"key", b"old")))
    with server.wire() as client:
        client.command("SELECT", 9)
        until(lambda: client.ask("GET", "key") == b"old")
        client.command("SAVE")
    if between == "a restart":
        server.restart()
    other = bare_master if between == "a restart" else BareMaster()
    with server.wire() as client:
        client.command("SELECT", 9)
        if other is not bare_master:
            client.command("REPLICAOF", "127.0.0.1", other.port)
        assert other.accept()[:2] == [b"PSYNC", ID]
        other.link.sendall(b"+CONTINUE %b\r\n" % ID + encode_record((b"SET", b"key", b"new")))
        until(lambda: client.ask("GET", "key") == b"new")
    other.close()


@pytest.mark.parametrize("load", ["disabled", "swapdb"])
def test_a_transfer_that_breaks_costs_neither_the_history_nor_the_followers(start_server, bare_master, load):
    server = start_server("--save", "", "--repl-diskless-load", load)
    with server.wire() as client:
        ready_replica(client, bare_master)
        bare_master.link.sendall(encode_record((b"SELECT", b"0")) + encode_record((b"SET", b"key", b"old")))
        until(lambda: client.ask("GET", "key") == b"old")
        offset = int(info(client)["slave_repl_offset"])
        follower = BareReplica(server, "psync2")
        assert follower.psync(ID, offset + 1).startswith(b"+CONTINUE")
        bare_master.link.close()
        bare_master.accept()
        bare_master.link.sendall(b"+FULLRESYNC %b 500\r\n$EOF:%b\r\n" % (b"f" * 40, b"m" * 40) + EMPTY_SNAPSHOT[:9])
        server.wait_for_log("receiving streamed RDB from master with EOF")
        bare_master.link.close()
        assert bare_master.accept() == [b"PSYNC", ID, b"%d" % (offset + 1)]
        assert client.ask("GET", "key") == b"old"
        assert info(client)["connected_slaves"] == "1"
        stream = encode_record((b"SET", b"key", b"new"))
        bare_master.link.sendall(b"+CONTINUE\r\n" + stream)
        assert follower.command() == [b"SET", b"key", b"new"]


def test_a_master_that_leaves_during_the_handshake_is_told_in_the_log(start_server, bare_master):
    server = start_server("--save", "", "--replicaof", f"127.0.0.1 {bare_master.port}")
    bare_master.accept()
    bare_master.link.close()
    server.wait_for_log("Failed to read response from the server: ")
    server.wait_for_log("Master did not respond to command during SYNC handshake")
