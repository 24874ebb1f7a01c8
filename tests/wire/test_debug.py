"""DEBUG: who may use it, what it answers, and how a process ends that it makes crash."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.harness.wire import Closed, plain

pytestmark = pytest.mark.wire

NOT_ALLOWED = (
    b'-ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a '
    b"local connection, otherwise you need to set this option in the configuration file, and then restart the server."
)
PROTOCOL = {
    "string": (b"$11\r\nHello World\r\n", b"$11\r\nHello World\r\n"),
    "integer": (b":12345\r\n", b":12345\r\n"),
    "double": (b"$5\r\n3.141\r\n", b",3.141\r\n"),
    "bignum": (
        b"$37\r\n1234567999999999999999999999999999999\r\n",
        b"(1234567999999999999999999999999999999\r\n",
    ),
    "null": (b"$-1\r\n", b"_\r\n"),
    "array": (b"*3\r\n:0\r\n:1\r\n:2\r\n", b"*3\r\n:0\r\n:1\r\n:2\r\n"),
    "set": (b"*3\r\n:0\r\n:1\r\n:2\r\n", b"~3\r\n:0\r\n:1\r\n:2\r\n"),
    "map": (b"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", b"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
    "verbatim": (b"$25\r\nThis is a verbatim\nstring\r\n", b"=29\r\ntxt:This is a verbatim\nstring\r\n"),
    "true": (b":1\r\n", b"#t\r\n"),
    "false": (b":0\r\n", b"#f\r\n"),
    "attrib": (
        b"$39\r\nSome real reply following the attribute\r\n",
        b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
        b"$39\r\nSome real reply following the attribute\r\n",
    ),
    "push": (
        b"-ERR RESP2 is not supported by this command\r\n",
        b"$40\r\nSome real reply following the push reply\r\n>2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n",
    ),
}


def ask(wire, *command):
    return plain(wire.command(*command))


def test_debug_is_refused_unless_it_is_enabled(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        assert ask(wire, "DEBUG", "DIGEST") == NOT_ALLOWED
        assert ask(wire, "DEBUG", "SEGFAULT") == NOT_ALLOWED


def test_debug_enabled_for_local_clients_serves_loopback(start_server):
    server = start_server("--save", "", "--enable-debug-command", "local")
    with server.wire() as wire:
        assert ask(wire, "DEBUG", "DIGEST") == b"0" * 40


@pytest.mark.parametrize("words", [("NONSENSE",), ("SLEEP",), ("SLEEP", "1", "2"), ("OBJECT",), ("DIGEST", "x")])
def test_an_unknown_subcommand_and_a_wrong_number_of_arguments_read_alike(wire, words):
    text = b"-ERR unknown subcommand or wrong number of arguments for '%b'. Try DEBUG HELP." % words[0].encode()
    assert ask(wire, "DEBUG", *words) == text


@pytest.mark.parametrize("kind", PROTOCOL)
def test_protocol_shows_each_type_in_both_versions(server, kind):
    for version, expected in zip((2, 3), PROTOCOL[kind]):
        with server.wire(protocol=version) as wire:
            wire.send(b"DEBUG PROTOCOL %b\r\nPING\r\n" % kind.encode())
            received = b""
            while not received.endswith(b"+PONG\r\n"):
                received += wire.read_raw()
            assert received == expected + b"+PONG\r\n"


def test_sleep_stops_the_server(wire):
    start = time.monotonic()
    assert ask(wire, "DEBUG", "SLEEP", "0.2") == b"OK"
    assert time.monotonic() - start >= 0.2


def test_without_active_expiry_keys_go_only_when_somebody_looks(server, wire):
    ask(wire, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
    try:
        ask(wire, "SET", "brief", "value", "PX", 1)
        ask(wire, "DEBUG", "SLEEP", "0.02")
        assert ask(wire, "DBSIZE") == 1
        assert ask(wire, "GET", "brief") is None
        assert ask(wire, "DBSIZE") == 0
    finally:
        assert ask(wire, "DEBUG", "SET-ACTIVE-EXPIRE", "1") == b"OK"


def test_an_error_is_answered_as_given_and_not_counted(wire):
    wire.command("CONFIG", "RESETSTAT")
    assert ask(wire, "DEBUG", "ERROR", "MYCODE with text") == b"-MYCODE with text"
    assert b"MYCODE" not in ask(wire, "INFO", "errorstats")


def test_a_message_reaches_the_log(server, wire):
    assert ask(wire, "DEBUG", "LOG", "find me") == b"OK"
    server.wait_for_log("DEBUG LOG: find me")


def test_object_tells_encoding_and_age_of_a_value(wire):
    ask(wire, "SET", "key", "bar")
    text = ask(wire, "DEBUG", "OBJECT", "key")
    assert text.startswith(b"Value at:0x")
    assert b" refcount:1 encoding:embstr serializedlength:4 " in text
    assert b" lru_seconds_idle:0" in text
    assert ask(wire, "DEBUG", "OBJECT", "nothing") == b"-ERR no such key"


def test_a_whole_sum_of_incrbyfloat_is_text_until_it_is_set_anew(wire):
    ask(wire, "SET", "f", "30")
    assert ask(wire, "INCRBYFLOAT", "f", "20") == b"50"
    ask(wire, "RENAME", "f", "g")
    ask(wire, "COPY", "g", "h")
    assert ask(wire, "OBJECT", "ENCODING", "h") == b"embstr"
    assert ask(wire, "OBJECT", "REFCOUNT", "h") == 1
    ask(wire, "SET", "h", "50")
    assert ask(wire, "OBJECT", "ENCODING", "h") == b"int"
    ask(wire, "INCR", "g")
    assert ask(wire, "OBJECT", "ENCODING", "g") == b"int"


def test_object_tells_the_nodes_of_a_long_list(wire):
    ask(wire, "CONFIG", "SET", "list-max-listpack-size", "5", "list-compress-depth", "1")
    ask(wire, "RPUSH", "list", *[f"hello{number}" for number in range(50)])
    text = ask(wire, "DEBUG", "OBJECT", "list")
    ask(wire, "CONFIG", "SET", "list-max-listpack-size", "-2", "list-compress-depth", "0")
    assert b" ql_nodes:10 ql_avg_node:5.00 ql_listpack_max:5 ql_compressed:1 ql_uncompressed_size:510" in text


def test_a_number_is_counted_up_where_it_is(wire):
    ask(wire, "SET", "n", "20000")
    before = ask(wire, "DEBUG", "OBJECT", "n").split()[1]
    ask(wire, "INCR", "n")
    assert ask(wire, "DEBUG", "OBJECT", "n").split()[1] == before


def test_changing_the_replication_id_shows_in_info(wire):
    before = ask(wire, "INFO", "replication")
    assert ask(wire, "DEBUG", "CHANGE-REPL-ID") == b"OK"
    assert ask(wire, "INFO", "replication") != before


def test_populate_creates_keys_that_are_not_there(wire):
    ask(wire, "SET", "p:1", "mine")
    assert ask(wire, "DEBUG", "POPULATE", "3", "p", "10") == b"OK"
    assert ask(wire, "MGET", "p:0", "p:1", "p:2") == [b"value:0\0\0\0", b"mine", b"value:2\0\0\0"]
    assert ask(wire, "DEBUG", "POPULATE", "-1") == b"-ERR value is out of range, must be positive"


def test_tables_are_described_where_there_are_any(wire):
    ask(wire, "SET", "key", "value")
    assert b"[Dictionary HT]\nHash table 0 stats" in ask(wire, "DEBUG", "HTSTATS", "0")
    assert ask(wire, "DEBUG", "HTSTATS", "99") == b"-ERR Out of range database"
    refusal = b"-ERR The value stored at the specified key is not represented using an hash table"
    assert ask(wire, "DEBUG", "HTSTATS-KEY", "key") == refusal


def test_the_digest_knows_values_and_not_how_they_came_about(wire):
    ask(wire, "SADD", "s", "a", "b")
    ask(wire, "RPUSH", "l", "x", "y")
    first = ask(wire, "DEBUG", "DIGEST")
    ask(wire, "FLUSHALL")
    assert ask(wire, "DEBUG", "DIGEST") == b"0" * 40
    ask(wire, "RPUSH", "l", "y")
    ask(wire, "LPUSH", "l", "x")
    ask(wire, "SADD", "s", "b", "a")
    assert ask(wire, "DEBUG", "DIGEST") == first
    ask(wire, "EXPIRE", "s", 100)
    assert ask(wire, "DEBUG", "DIGEST") != first


def test_the_digest_of_a_value_is_redis_s(wire):
    ask(wire, "SET", "foo", "bar")
    assert ask(wire, "DEBUG", "DIGEST-VALUE", "foo", "nothing") == [
        b"68467c70ae30376e7ce005bcc8827f5ba7fd67dc",
        b"0" * 40,
    ]


# Crashes -----------------------------------------------------------------------------------------------------------

pytest_posix = pytest.mark.skipif(os.name == "nt", reason="no such signals there")


@pytest_posix
def test_a_segmentation_fault_leaves_a_stack_trace_in_the_log(start_server):
    server = start_server("--save", "", "--enable-debug-command", "yes")
    with server.wire() as wire, pytest.raises(Closed):
        wire.command("DEBUG", "SEGFAULT")
    assert server.wait() == -signal.SIGSEGV
    log = server.log()
    assert "crashed by signal" in log
    assert "in debug_segfault" in log


@pytest_posix
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_fatal_signal_is_reported_even_inside_a_long_command(start_server, tmp_path, number):
    path = tmp_path / "server.log"
    server = start_server("--save", "", "--enable-debug-command", "yes", "--logfile", path)
    with server.wire() as wire:
        wire.send(b"DEBUG SLEEP 30\r\n")
        with server.wire(timeout_s=0.3) as other, pytest.raises(TimeoutError):
            other.command("PING")
        server.signal(number)
        assert server.wait() == -number
    log = path.read_text()
    assert "crashed by signal" in log
    assert "in debug_sleep" in log


@pytest_posix
@pytest.mark.parametrize("exits, code", [("no", -signal.SIGABRT), ("yes", 1)])
def test_a_panic_is_logged_with_the_stack_and_ends_the_process(start_server, exits, code):
    server = start_server("--save", "", "--enable-debug-command", "yes", "--use-exit-on-panic", exits)
    with server.wire() as wire, pytest.raises(Closed):
        wire.command("DEBUG", "PANIC")
    assert server.wait() == code
    assert "Guru Meditation" in server.log()
    assert "debug_panic" in server.log()


@pytest_posix
def test_without_a_crash_log_the_process_just_dies(start_server):
    server = start_server("--save", "", "--enable-debug-command", "yes", "--crash-log-enabled", "no")
    with server.wire() as wire, pytest.raises(Closed):
        wire.command("DEBUG", "SEGFAULT")
    assert server.wait() == -signal.SIGSEGV
    assert "crashed by signal" not in server.log()


@pytest.mark.parametrize(
    "words, reply",
    [
        ("AOF-FLUSH-SLEEP 0", b"OK"),
        ("DICT-RESIZING 1", b"OK"),
        ("PAUSE-CRON 0", b"OK"),
        ("DIGEST-VALUE", []),
        ("OBJECT key FAST", b"-ERR unknown subcommand or wrong number of arguments for 'OBJECT'. Try DEBUG HELP."),
        ("POPULATE 3 p x", b"-ERR value is out of range, must be positive"),
        ("REPLYBUFFER PEAK-RESET-TIME 100", b"OK"),
        ("REPLYBUFFER RESIZING 1", b"OK"),
        ("REPLYBUFFER PEAK-RESET-TIME soon", b"-ERR value is not an integer or out of range"),
        ("CLUSTERLINK KILL all 0", b"-ERR Debug option only available for cluster mode enabled setup!"),
        ("CONFIG-REWRITE-FORCE-ALL", b"-ERR CONFIG-REWRITE-FORCE-ALL failed: Bad address"),
        ("LOADAOF", b"-ERR Error trying to load the AOF files, check server logs."),
        ("SLEEP inf", b"OK"),
        ("SLEEP nan", b"OK"),
        ("SCRIPT LIST", b"OK"),
        ("SCRIPT " + "0" * 40, b"-NOSCRIPT No matching script. Please use EVAL."),
        ("SCRIPT 0", b"-ERR unknown subcommand or wrong number of arguments for 'SCRIPT'. Try DEBUG HELP."),
        ("CLIENT-EVICTION", b"-ERR maxmemory-clients is disabled."),
    ],
)
def test_switches_of_testers_are_taken_and_judged_as_in_redis(wire, words, reply):
    assert ask(wire, "DEBUG", *words.split()) == reply


def test_a_log_that_a_rewrite_made_is_loaded_although_nothing_is_logged(start_server):
    server = start_server("--save", "", "--enable-debug-command", "yes")
    with server.wire() as wire:
        wire.command("SET", "k", "v")
        wire.command("BGREWRITEAOF")
        server.wait_for_log("Background AOF rewrite finished successfully")
        wire.command("SET", "k", "later")
        assert ask(wire, "DEBUG", "LOADAOF") == b"OK"
        assert ask(wire, "GET", "k") == b"v"


def test_a_configuration_written_with_every_directive_starts_a_server_that_has_the_same(start_server, tmp_path):
    path = tmp_path / "redis.conf"
    path.write_text("save 900 1\nenable-debug-command yes\nmaxmemory 100mb\n")
    server = start_server(path)
    with server.wire() as wire:
        before = ask(wire, "CONFIG", "GET", "*")
        assert ask(wire, "DEBUG", "CONFIG-REWRITE-FORCE-ALL") == b"OK"
    assert "hz 10\n" in path.read_text()
    server.restart()
    with server.wire() as wire:
        assert ask(wire, "CONFIG", "GET", "*") == before


def test_a_restart_by_debug_keeps_the_process_and_its_arguments(start_server):
    server = start_server("--save", "900 1", "--enable-debug-command", "yes", "--maxclients", "77")
    run_ids = set()
    for subcommand, kept in (("RESTART", b"v"), ("CRASH-AND-RECOVER", b"v")):
        with server.wire() as wire:
            run_ids.add(wire.ask("INFO", "server").split(b"run_id:")[1][:40])
            wire.command("SET", "k", "v" if subcommand == "RESTART" else "lost")
            with pytest.raises((Closed, OSError)):
                wire.command("DEBUG", subcommand)
        server.wait_until_ready()
        with server.wire() as wire:
            assert ask(wire, "GET", "k") == kept
            assert ask(wire, "CONFIG", "GET", "maxclients") == [b"maxclients", b"77"]
            run_ids.add(wire.ask("INFO", "server").split(b"run_id:")[1][:40])
    assert len(run_ids) == 3


def test_scripts_call_what_they_may_not_where_debug_says_so(wire):
    refused = ask(wire, "EVAL", "return redis.call('time') and redis.pcall('multi')", "0")
    if b"pip install lupa" in refused:
        pytest.skip("the interpreter that runs the server has no lupa")
    assert refused.startswith(b"-ERR This Redis command is not allowed from script")
    wire.command("DEBUG", "SET-DISABLE-DENY-SCRIPTS", "1")
    try:
        assert ask(wire, "EVAL", "return redis.call('role')[1]", "0") == b"master"
    finally:
        wire.command("DEBUG", "SET-DISABLE-DENY-SCRIPTS", "0")
    assert ask(wire, "EVAL", "return redis.pcall('role')", "0").startswith(b"-ERR This Redis command is not allowed")


@pytest_posix
def test_the_watchdog_and_sigalrm_show_where_the_server_is_and_end_nothing(start_server):
    server = start_server("--save", "", "--enable-debug-command", "yes")
    with server.wire() as wire:
        wire.command("CONFIG", "SET", "watchdog-period", "1")
        assert ask(wire, "CONFIG", "GET", "watchdog-period") == [b"watchdog-period", b"200"]
        wire.command("DEBUG", "SLEEP", "0.3")
        assert "WATCHDOG TIMER EXPIRED" in server.log()
        wire.command("CONFIG", "SET", "watchdog-period", "0")
        server.signal(signal.SIGALRM)
        log = server.wait_for_log("Received SIGALRM")
        assert log.count("STACK TRACE -") == 2 and "debug_sleep" in log and "crashed" not in log
        assert ask(wire, "PING") == b"PONG"


def test_no_table_grows_while_a_child_reads_it(start_server):
    server = start_server("--save", "", "--enable-debug-command", "yes", "--rdb-key-save-delay", "10000000")
    with server.wire() as wire:
        ask(wire, "DEBUG", "POPULATE", "16")
        ask(wire, "BGSAVE")
        ask(wire, "MSET", "a", "1", "b", "2")
        assert b" table size: 16\n number of elements: 18\n" in ask(wire, "DEBUG", "HTSTATS", "0")
        ask(wire, "DEBUG", "POPULATE", "100", "other")
        assert b" table size: 128\n" in ask(wire, "DEBUG", "HTSTATS", "0")
        ask(wire, "FLUSHALL")  # ends the child
        while b"rdb_bgsave_in_progress:1" in ask(wire, "INFO", "persistence"):
            time.sleep(0.005)
        ask(wire, "DEBUG", "POPULATE", "17")
        assert b" table size: 32\n" in ask(wire, "DEBUG", "HTSTATS", "0")
