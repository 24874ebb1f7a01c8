"""The append only log: what is in its files, what is made of damaged ones, and rewrites under writes."""

from __future__ import annotations

import threading
import time

import pytest

from tests.harness.processes import StartFailure
from tests.harness.wire import encode
from tests.wire.test_persistence import LOG, info, wait_until


def log_files(server) -> list[str]:
    return sorted(path.name for path in (server.directory / "appendonlydir").iterdir())


def test_a_new_log_has_a_base_an_increment_and_a_manifest(start_server):
    server = start_server(*LOG)
    assert log_files(server) == ["appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]
    with server.wire() as wire:
        wire.command("SET", "a", 1)
        wire.command("SELECT", 2)
        wire.command("SET", "b", 1, "PX", 100_000)
        assert wire.ask("BGREWRITEAOF") == b"Background append only file rewriting started"
        server.wait_for_log("Background AOF rewrite finished successfully")
        wire.command("DEL", "b")
    assert log_files(server) == ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"]
    manifest = (server.directory / "appendonlydir" / "appendonly.aof.manifest").read_text()
    assert manifest == "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
    increment = (server.directory / "appendonlydir" / "appendonly.aof.2.incr.aof").read_bytes()
    assert increment == encode("SELECT", 2) + encode("DEL", "b")
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("GET", "a") == b"1"
        assert info(wire, "aof_enabled") == "1"
        wire.command("SELECT", 2)
        assert wire.ask("EXISTS", "b") == 0


def test_the_single_file_of_an_older_server_is_taken_over(start_server, tmp_path):
    (tmp_path / "appendonly.aof").write_bytes(encode("SELECT", 0) + encode("SET", "old", "value"))
    server = start_server(*LOG, directory=tmp_path)
    with server.wire() as wire:
        assert wire.ask("GET", "old") == b"value"
        wire.command("SET", "new", 1)
    assert not (tmp_path / "appendonly.aof").exists()
    assert log_files(server) == ["appendonly.aof", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("MGET", "old", "new") == [b"value", b"1"]
        assert info(wire, "rdb_changes_since_last_save") == "2"  # as in Redis no snapshot has what a log brought


def test_a_manifest_of_one_increment_of_another_name_loads(start_server, tmp_path):
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "other.7.incr.aof").write_bytes(encode("SELECT", 0) + encode("SET", "a", "b"))
    (folder / "appendonly.aof.manifest").write_text("file other.7.incr.aof seq 7 type i\n")
    server = start_server(*LOG, directory=tmp_path)
    with server.wire() as wire:
        assert wire.ask("GET", "a") == b"b"
        wire.command("SET", "c", 1)
    assert b"SET" in (folder / "other.7.incr.aof").read_bytes().rpartition(b"b\r\n")[2]


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("", "Found an empty AOF manifest"),
        ("file a seq 1 type x\n", "Unknown AOF file type"),
        ("file a seq 2 type i\nfile b seq 1 type i\n", "Found a non-monotonic sequence number"),
        ("file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information"),
        ("file a seq 1\n", "Invalid AOF manifest file format"),
        ("file gone.aof seq 1 type b\n", "Unable to obtain the AOF file gone.aof length. stat: No such file"),
    ],
)
def test_a_log_that_makes_no_sense_stops_the_start(start_server, tmp_path, manifest, reason):
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.manifest").write_text(manifest)
    with pytest.raises(StartFailure, match="exit 1"):
        start_server(*LOG, directory=tmp_path)
    assert reason in (tmp_path / "stdout.log").read_text()
    assert (folder / "appendonly.aof.manifest").read_text() == manifest


@pytest.mark.parametrize("behaviour", ["ignore", "panic"])
def test_an_error_while_a_log_is_loaded_is_told_and_counted(start_server, tmp_path, behaviour):
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    text = encode("SET", "k", "text")
    wrong = encode("LPUSH", "k", "1") + encode("MULTI") + encode("INCR", "k") + encode("EXEC")
    (folder / "appendonly.aof.1.incr.aof").write_bytes(text + wrong)
    options = ("--propagation-error-behavior", behaviour, "--use-exit-on-panic", "yes")
    said = "sending an error to its AOF-loading-client"
    if behaviour == "panic":
        with pytest.raises(StartFailure, match="panicked " + said):
            start_server(*LOG, *options, directory=tmp_path)
        return
    server = start_server(*LOG, *options, directory=tmp_path)
    with server.wire() as wire:
        assert info(wire, "unexpected_error_replies") == info(wire, "total_error_replies") == "2"
    wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value"
    assert f"{said}: '{wrong_type}' after processing the command 'lpush'" in server.log()
    assert f"{said}: 'value is not an integer or out of range' after processing the command 'exec'" in server.log()


def test_corruption_in_the_middle_of_a_log_is_refused_with_its_offset(start_server):
    server = start_server(*LOG)
    with server.wire() as wire:
        for number in range(3):
            wire.command("SET", f"k{number}", number)
    server.kill()
    path = server.directory / "appendonlydir" / "appendonly.aof.1.incr.aof"
    data = path.read_bytes()
    at = data.index(b"$2\r\nk1") - len("*3\r\n$3\r\nSET\r\n")
    path.write_bytes(data[:at] + b"?" + data[at + 1 :])
    with pytest.raises(StartFailure, match="exit 1"):
        server.start()
    *_, where, what = server.log().splitlines()
    assert f"The append only file {path} makes sense up to offset {at}. `rediselect check FILE --fix`" in where
    assert f"Bad file format reading the append only file {path.name}: make a backup" in what


def test_a_log_that_ends_in_the_middle_is_refused_where_another_follows(start_server, tmp_path):
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    whole = encode("SELECT", 0) + encode("SET", "a", "b")
    (folder / "a.1.incr.aof").write_bytes(b"")
    (folder / "a.2.incr.aof").write_bytes(whole + whole[:-3])
    (folder / "a.3.incr.aof").write_bytes(whole)
    lines = [f"file a.{number}.incr.aof seq {number} type i\n" for number in (1, 2, 3)]
    (folder / "appendonly.aof.manifest").write_text("".join(lines))
    with pytest.raises(StartFailure, match="exit 1"):
        start_server(*LOG, directory=tmp_path)
    log = (tmp_path / "stdout.log").read_text()
    assert "Truncating the AOF a.2.incr.aof at offset %d" % (len(whole) + len(encode("SELECT", 0))) in log
    assert log.endswith("Fatal error: the truncated file is not the last file\n")
    assert "a.1.incr.aof" not in log  # nothing is said of an empty one


def test_a_log_that_ends_in_the_middle_is_cut_or_refused(start_server):
    server = start_server(*LOG)
    with server.wire() as wire:
        wire.command("SET", "a", 1)
        wire.command("SET", "b", 2)
    server.kill()
    path = server.directory / "appendonlydir" / "appendonly.aof.1.incr.aof"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    server.args += ["--aof-load-truncated", "no"]
    with pytest.raises(StartFailure, match="exit 1"):
        server.start()
    assert "Unexpected end of file reading the append only file" in server.log()
    assert path.read_bytes() == whole[:-2]
    server.args[-1] = "yes"
    server.start()
    with server.wire() as wire:
        assert wire.ask("MGET", "a", "b") == [b"1", None]
        wire.command("SET", "c", 3)
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("MGET", "a", "b", "c") == [b"1", None, b"3"]


def test_appendonly_is_turned_on_and_off_while_clients_write(start_server):
    server = start_server("--save", "", "--appendfsync", "always")
    stop = threading.Event()
    written = []

    def write() -> None:
        with server.wire() as wire:
            while not stop.is_set():
                assert wire.ask("SET", f"k{len(written)}", len(written)) == b"OK"
                written.append(None)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with server.wire() as wire:
            for _ in range(3):
                assert wire.ask("CONFIG", "SET", "appendonly", "yes") == b"OK"
                wait_until(lambda: info(wire, "aof_rewrite_in_progress") == "0")
                assert wire.ask("CONFIG", "SET", "appendonly", "no") == b"OK"
            assert wire.ask("CONFIG", "SET", "appendonly", "yes") == b"OK"
            wait_until(lambda: info(wire, "aof_rewrite_in_progress") == "0")
            enough = len(written) + 20
            wait_until(lambda: len(written) > enough)
    finally:
        stop.set()
        thread.join(20)
    server.args += ["--appendonly", "yes"]
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("DBSIZE") == len(written) > 20


def test_appendonly_turned_on_in_a_transaction_begins_after_it(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        for vector in [("MULTI",), ("CONFIG", "SET", "appendonly", "yes"), ("SET", "key", "value")]:
            wire.command(*vector)
        assert wire.ask("EXEC") == [b"OK", b"OK"]
        server.wait_for_log(
            "AOF was enabled during a transaction. An AOF background was scheduled to start when possible."
        )
        wait_until(lambda: info(wire, "aof_rewrite_scheduled") == info(wire, "aof_rewrite_in_progress") == "0")
        assert info(wire, "aof_enabled") == "1"


def test_a_rewrite_under_writes_loses_nothing(start_server):
    server = start_server(*LOG, "--rdb-key-save-delay", "100")
    with server.wire() as wire:
        wire.pipeline([(b"SET", b"k%d" % number, b"0") for number in range(500)])
        wire.command("BGREWRITEAOF")
        for number in range(300):
            wire.command("INCR", "counter")
            wire.command("RPUSH", "list", number)
        assert info(wire, "aof_rewrite_in_progress") in ("0", "1")
        server.wait_for_log("Background AOF rewrite finished successfully")
        wire.command("INCR", "counter")
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("GET", "counter") == b"301"
        assert wire.ask("LLEN", "list") == 300
        assert wire.ask("DBSIZE") == 502


def test_a_log_that_has_grown_is_rewritten_by_itself(start_server):
    server = start_server(*LOG, "--auto-aof-rewrite-min-size", "20kb")
    with server.wire() as wire:
        for number in range(300):
            wire.command("SET", "key", "x" * 100 + str(number))
        server.wait_for_log("Starting automatic rewriting of AOF on ")
        server.wait_for_log("Background AOF rewrite finished successfully")
        wait_until(lambda: int(info(wire, "aof_current_size")) < 40_000)
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("GET", "key") == b"x" * 100 + b"299"


PIPELINES = [
    [("SET", "a", "1"), ("SET", "b", "22"), ("SET", "c", "333"), ("SET", "d", "4444")],
    [("SET", "a", "1"), ("set", "b", "2"), ("SET", "c", "3", "NX"), ("SET", "c", "4", "NX")],
    [("INCR", "n"), ("INCR", "n"), ("INCR", "a"), ("INCR", "l"), ("DEL", "nothing"), ("LPUSH", "l", "1", "2")],
    [("GETSET", "a", "5"), ("GETSET", "a", "6"), ("GETSET", "a", "7")],
    [("SET", "e", "1"), ("SELECT", "1"), ("SET", "e", "2"), ("SELECT", "0")],
    [("SADD", "s", "1"), ("SADD", "s", "1"), ("SPOP", "s"), ("SADD", "s", "2")],
    [("SET", "a", "8"), ("MULTI",), ("SET", "a", "8"), ("SET", "b", "8"), ("EXEC",)],
    [("SET", "a", "9")],
    [("RPUSH", "q", "1"), ("RPUSH", "q", "2"), ("RPUSH", "q", "3"), ("RPUSH", "q", "4")],
    [("RPUSH", "q", "1"), ("RPUSH", "q", "2"), ("RPUSH", "q", "3"), ("RPUSH", "q", "4")],
    [("LPOP", "q"), ("LPOP", "q"), ("LPOP", "q"), ("LPOP", "q")],
    [("LPOP", "q"), ("LPOP", "q"), ("LPOP", "q"), ("LPOP", "q"), ("LPOP", "q")],
    [("LPOP", "q"), ("LPOP", "q"), ("LPOP", "q")],
    [("SADD", "s", "1"), ("SADD", "s", "2"), ("SADD", "s", "3"), ("SADD", "s", "2")],
    [("ZADD", "z", "1", "a"), ("ZADD", "z", "1", "b"), ("ZADD", "z", "1", "a"), ("ZADD", "z", "2", "a")],
    [("ZADD", "z", "1", "a"), ("ZADD", "z", "1", "b"), ("ZADD", "z", "1", "a"), ("ZADD", "z", "2", "a")],
    [("HSET", "h", "f", "1"), ("HSET", "h", "f", "1"), ("HSET", "h", "g", "1")],
    [("HSET", "h", "f", "1"), ("HSET", "h", "f", "1"), ("HSET", "h", "g", "1")],
    [("INCR", "n"), ("INCR", "n"), ("INCR", "n")],
    [("ZPOPMIN", "z"), ("ZPOPMIN", "z"), ("ZPOPMIN", "z")],
]


def test_the_log_of_a_pipeline_is_that_of_its_commands_one_by_one(start_server):
    logs, offsets = [], []
    for together in (True, False):
        server = start_server(*LOG)
        with server.wire() as wire:
            for pipeline in PIPELINES:
                if together:
                    wire.pipeline([[word.encode() for word in command] for command in pipeline])
                else:
                    for command in pipeline:
                        wire.command(*command)
            offsets.append(int(info(wire, "master_repl_offset")))
        logs.append((server.directory / "appendonlydir" / "appendonly.aof.1.incr.aof").read_bytes())
    assert logs[0] == logs[1]
    assert logs[0].count(b"$3\r\nSET\r\n") == 14  # with those that GETSET became, without that which NX refused
    operations = logs[0].count(b"*") - logs[0].count(b"SELECT")
    assert offsets == [operations] * 2  # longer by one each, as in Redis, while nobody replicates


def test_timestamps_stand_in_the_log_when_wanted(start_server):
    server = start_server(*LOG, "--aof-timestamp-enabled", "yes")
    with server.wire() as wire:
        wire.command("SET", "a", 1)
    data = (server.directory / "appendonlydir" / "appendonly.aof.1.incr.aof").read_bytes()
    assert data.startswith(b"#TS:%d" % (int(time.time()) // 100))
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("GET", "a") == b"1"


def test_waitaof_waits_for_the_disk(start_server):
    server = start_server(*LOG, "--appendfsync", "everysec")
    with server.wire() as wire:
        wire.command("SET", "a", 1)
        assert wire.ask("WAITAOF", 1, 0, 5000) == [1, 0]
        wire.command("CONFIG", "SET", "appendfsync", "always")
        wire.command("SET", "a", 2)
        assert wire.ask("WAITAOF", 1, 0, 5000) == [1, 0]
        wire.command("CONFIG", "SET", "appendonly", "no")
        assert wire.ask("WAITAOF", 1, 0, 10).startswith(b"-ERR WAITAOF cannot be used when numlocal is set but")


def test_expired_keys_are_deleted_in_the_log(start_server):
    server = start_server(*LOG)
    with server.wire() as wire:
        wire.command("SET", "a", 1, "PX", 20)
        wait_until(lambda: info(wire, "expired_keys") == "1")
    data = (server.directory / "appendonlydir" / "appendonly.aof.1.incr.aof").read_bytes()
    assert b"PXAT" in data and data.endswith(encode("DEL", "a"))


def test_a_hyperloglog_that_was_made_dense_comes_back_from_the_log(start_server):
    server = start_server(*LOG)
    with server.wire() as wire:
        wire.command("PFADD", "p", "a", "b")
        assert wire.ask("PFDEBUG", "TODENSE", "p") == 1
        wire.command("PFADD", "p", "c")
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("PFDEBUG", "ENCODING", "p") == b"dense"
        assert wire.ask("PFCOUNT", "p") == 3
