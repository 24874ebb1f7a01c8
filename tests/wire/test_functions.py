"""Libraries of functions on the wire: loading, calling, listing, and living on in snapshots, logs and real servers."""

from __future__ import annotations

import pytest

from storage.rdb import layout
from storage.rdb.crc64 import crc64
from storage.rdb.spelling import encode_string
from tests.harness.replication import until
from tests.harness.wire import encode
from tests.wire.test_scripts import skip_without_interpreter, until_busy

LIBRARY = """#!lua name=lib
redis.register_function('echo', function(keys, args) return {keys, args} end)
redis.register_function{function_name='reads', description='Reads.', flags={'no-writes'},
  callback=function(keys) return redis.call('get', keys[1]) end}
redis.register_function('writes', function(keys, args) return redis.call('set', keys[1], args[1]) end)
redis.register_function('fails', function() return nothing end)
"""


@pytest.fixture
def ask(wire):
    skip_without_interpreter(wire)
    wire.ask("FUNCTION", "FLUSH")
    yield wire.ask
    wire.ask("FUNCTION", "FLUSH")


def library(body: str, name: str = "other") -> str:
    return f"#!lua name={name}\n{body}"


def test_a_library_is_loaded_once_and_replaced_when_asked(ask):
    assert ask("FUNCTION", "LOAD", LIBRARY) == b"lib"
    assert ask("FUNCTION", "LOAD", LIBRARY) == b"-ERR Library 'lib' already exists"
    assert ask("FUNCTION", "LOAD", "REPLACE", library("redis.register_function('one', function() return 1 end)", "lib"))
    assert ask("FCALL", "one", 0) == 1
    assert ask("FCALL", "echo", 0) == b"-ERR Function not found"


def test_functions_get_keys_and_arguments(ask):
    ask("FUNCTION", "LOAD", LIBRARY)
    assert ask("FCALL", "echo", 1, "k", b"\x00\xff") == [[b"k"], [b"\x00\xff"]]
    assert ask("FCALL", "ECHO", 0) == [[], []]
    assert ask("FCALL", "writes", 1, "k", "v") == b"OK"
    assert ask("FCALL_RO", "reads", 1, "k") == b"v"


def test_a_call_that_may_not_be_is_refused(ask):
    ask("FUNCTION", "LOAD", LIBRARY)
    assert ask("FCALL_RO", "writes", 1, "k", "v") == (
        b"-ERR Can not execute a script with write flag using *_ro command."
    )
    assert ask("FCALL", "echo", "x") == b"-ERR Bad number of keys provided"
    assert ask("FCALL", "echo", 2, "k") == b"-ERR Number of keys can't be greater than number of args"
    assert ask("FCALL", "fails", 0) == (
        b"-ERR user_function:6: Script attempted to access nonexistent global variable 'nothing' script: fails, "
        b"on @user_function:6."
    )


@pytest.mark.parametrize(
    "code, error",
    [
        ("return 1", "Missing library metadata"),
        ("#!lua\nreturn 1", "Library name was not given"),
        ("#!js name=a\nreturn 1", "Engine 'js' not found"),
        (library("return 1"), "No functions registered"),
        (library("x = 1"), "Error registering functions: ERR user_function:2: Attempt to modify a readonly table"),
        (library("redis.call('ping')"),
         "Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable "
         "'call'"),
        (library("local x = math.pi"),
         "Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable "
         "'math'"),
        (library("local x = debug"),
         "Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable "
         "'debug'"),
        (library("redis.register_function('a-b', function() end)"),
         "Error registering functions: ERR Library names can only contain letters, numbers, or underscores(_) and "
         "must be at least one character long"),
        (library("redis.register_function{function_name='a', callback=function() end, flags={'x'}}"),
         "Error registering functions: ERR unknown flag given"),
        (library("while true do end"), "Error registering functions: ERR FUNCTION LOAD timeout"),
    ],
)  # fmt: skip
def test_a_library_with_a_fault_leaves_nothing_behind(ask, code, error):
    assert ask("FUNCTION", "LOAD", code).decode() == "-ERR " + error
    assert ask("FUNCTION", "LIST") == []


def test_functions_of_two_libraries_may_not_share_a_name(ask):
    ask("FUNCTION", "LOAD", LIBRARY)
    assert ask("FUNCTION", "LOAD", library("redis.register_function('Echo', function() end)")) == (
        b"-ERR Function Echo already exists"
    )


def test_the_list_describes_what_there_is(ask):
    ask("FUNCTION", "LOAD", LIBRARY)
    [described] = ask("FUNCTION", "LIST", "LIBRARYNAME", "l*", "WITHCODE")
    fields = dict(zip(described[::2], described[1::2]))
    assert (fields[b"library_name"], fields[b"engine"], fields[b"library_code"]) == (b"lib", b"LUA", LIBRARY.encode())
    assert [b"name", b"reads", b"description", b"Reads.", b"flags", [b"no-writes"]] in fields[b"functions"]
    assert ask("FUNCTION", "LIST", "LIBRARYNAME", "x*") == []
    assert ask("FUNCTION", "STATS") == [
        b"running_script", None, b"engines", [b"LUA", [b"libraries_count", 1, b"functions_count", 4]],
    ]  # fmt: skip


def test_a_dump_brings_back_what_there_was(ask):
    ask("FUNCTION", "LOAD", LIBRARY)
    payload = ask("FUNCTION", "DUMP")
    assert ask("FUNCTION", "RESTORE", payload) == b"-ERR Library lib already exists"
    assert ask("FUNCTION", "RESTORE", payload, "REPLACE") == b"OK"
    ask("FUNCTION", "FLUSH")
    assert ask("FUNCTION", "RESTORE", payload, "FLUSH") == b"OK"
    assert ask("FCALL", "echo", 0) == [[], []]
    assert ask("FUNCTION", "RESTORE", payload[:-1] + b"x") == b"-ERR DUMP payload version or checksum are wrong"


@pytest.mark.parametrize("policy", ["FLUSH", "APPEND", "REPLACE"])
def test_a_payload_that_contradicts_itself_is_refused_and_takes_nothing_away(ask, policy):
    one, other = ("redis.register_function('%s', function() return 1 end)" % name for name in "fg")
    ask("FUNCTION", "LOAD", LIBRARY)
    before = ask("FUNCTION", "LIST")
    for libraries, refusal in (
        ((library(one, "a"), library(other, "a")), b"-ERR Library 'a' already exists"),
        ((library(one, "a"), library(one, "a")), b"-ERR Library 'a' already exists"),
        ((library(one, "a"), library(one, "b")), b"-ERR Function f already exists"),
    ):
        texts = [bytes([layout.FUNCTION]) + encode_string(text.encode(), False) for text in libraries]
        body = b"".join(texts) + layout.DEFAULT_VERSION.to_bytes(2, "little")
        assert ask("FUNCTION", "RESTORE", body + crc64(body).to_bytes(8, "little"), policy) == refusal
        assert ask("FUNCTION", "LIST") == before


def test_dumps_travel_to_a_real_server_and_back(ask, real_server):
    ask("FUNCTION", "LOAD", LIBRARY)
    payload = ask("FUNCTION", "DUMP")
    with real_server.wire() as real:
        real.ask("FUNCTION", "FLUSH")
        assert real.ask("FUNCTION", "RESTORE", payload) == b"OK"
        assert real.ask("FCALL", "echo", 1, "k", "a") == [[b"k"], [b"a"]]
        theirs = real.ask("FUNCTION", "DUMP")
        real.ask("FUNCTION", "FLUSH")
    assert ask("FUNCTION", "RESTORE", theirs, "FLUSH") == b"OK"
    assert ask("FCALL", "echo", 1, "k", "a") == [[b"k"], [b"a"]]


@pytest.mark.parametrize("options", [("--appendonly", "no"), ("--appendonly", "yes")])
def test_libraries_survive_a_restart(start_server, options):
    server = start_server("--save", "3600 1", *options)
    with server.wire() as wire:
        skip_without_interpreter(wire)
        wire.ask("FUNCTION", "LOAD", LIBRARY)
        wire.ask("FCALL", "writes", 1, "k", "v")
    server.restart()
    with server.wire() as wire:
        assert wire.ask("FCALL", "reads", 1, "k") == b"v"


def test_a_rewritten_log_has_the_libraries(start_server):
    server = start_server("--appendonly", "yes", "--aof-use-rdb-preamble", "no")
    with server.wire() as wire:
        skip_without_interpreter(wire)
        wire.ask("FUNCTION", "LOAD", LIBRARY)
        wire.ask("BGREWRITEAOF")
        server.wait_for_log("Background AOF rewrite finished successfully")
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("FCALL", "echo", 0) == [[], []]


def test_a_script_is_logged_by_its_effects_as_one_transaction(start_server):
    server = start_server("--appendonly", "yes")
    with server.wire() as wire:
        skip_without_interpreter(wire)
        wire.ask("EVAL", "redis.call('set', 'a', 1) redis.call('spop', 's') redis.call('incrbyfloat', 'f', '0.5')", 0)
        wire.ask("EVAL", "redis.set_repl(redis.REPL_NONE) redis.call('set', 'hidden', 1)", 0)
    log = b"".join(path.read_bytes() for path in (server.directory / "appendonlydir").glob("*.incr.aof"))
    words = [word for word in log.split(b"\r\n") if word and word[:1] not in b"*$"]
    changes = [b"set", b"a", b"1", b"SET", b"f", b"0.5", b"KEEPTTL"]
    assert words == [b"MULTI", b"SELECT", b"0", *changes, b"EXEC"]


def test_what_is_for_replicas_alone_makes_no_transaction_in_the_log_where_there_are_none(start_server):
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    with server.wire() as wire:
        skip_without_interpreter(wire)
        wire.command("MULTI")
        wire.command("SET", "a", 1)
        wire.command("PUBLISH", "news", "x")
        wire.command("EXEC")
        wire.ask("EVAL", "redis.call('set', 'b', 2) redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'c', 3)", 0)
    log = b"".join(path.read_bytes() for path in (server.directory / "appendonlydir").glob("*.incr.aof"))
    words = [word for word in log.split(b"\r\n") if word and word[:1] not in b"*$"]
    assert words == [b"SELECT", b"0", b"SET", b"a", b"1", b"set", b"b", b"2"]


def test_a_function_that_runs_on_is_killed(ask, wire, server):
    ask("FUNCTION", "LOAD", library("redis.register_function('loop', function() while true do end end)"))
    ask("CONFIG", "SET", "busy-reply-threshold", 20)
    try:
        with server.wire() as other:
            wire.send(encode("FCALL", "loop", 0))
            until_busy(other)
            assert other.ask("GET", "k") == (
                b"-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            )
            stats = other.ask("FUNCTION", "STATS")
            assert stats[1][:4] == [b"name", b"loop", b"command", [b"FCALL", b"loop", b"0"]]
            assert other.ask("SCRIPT", "KILL").startswith(b"-BUSY ")
            assert other.ask("FUNCTION", "KILL") == b"OK"
            assert wire.read()[1].startswith(b"ERR Script killed by user with SCRIPT KILL... script: loop, on @user_f")
    finally:
        ask("CONFIG", "SET", "busy-reply-threshold", 5000)


def test_a_function_registers_no_other(ask):
    body = "local lib = redis\nredis.register_function('f', function() lib.register_function('g', function() end) end)"
    ask("FUNCTION", "LOAD", library(body))
    assert ask("FCALL", "f", 0) == (
        b"-ERR redis.register_function can only be called on FUNCTION LOAD command script: f, on @user_function:3."
    )


def test_a_name_with_a_zero_byte_is_no_metadata(ask):
    assert ask("FUNCTION", "LOAD", "#!lua name=a\0b\nreturn 1") == b"-ERR Invalid library metadata"


def test_a_reload_brings_back_the_functions_of_the_file_alone(ask):
    ask("FUNCTION", "LOAD", LIBRARY)
    assert ask("DEBUG", "RELOAD", "NOFLUSH") == b"-ERR Error trying to load the RDB dump, check server logs."
    assert ask("DEBUG", "RELOAD", "NOFLUSH", "MERGE") == b"OK"
    ask("FUNCTION", "LOAD", library("redis.register_function('one', function() return 1 end)"))
    assert ask("DEBUG", "RELOAD", "NOSAVE") == b"OK"
    assert [entry[1] for entry in ask("FUNCTION", "LIST")] == [b"lib"]


@pytest.mark.parametrize("load", ["disabled", "swapdb"])
def test_a_replica_has_the_functions_of_its_master_alone(start_server, load):
    """One of the same name in another library ended the replica."""
    master = start_server("--repl-diskless-sync-delay", "0")
    replica = start_server("--repl-diskless-load", load)
    with master.wire() as source, replica.wire() as copy:
        skip_without_interpreter(copy)
        source.command("FUNCTION", "LOAD", library("redis.register_function('f', function() return 1 end)", "new"))
        copy.command("FUNCTION", "LOAD", library("redis.register_function('f', function() return 2 end)", "old"))
        copy.command("FUNCTION", "LOAD", library("redis.register_function('g', function() return 2 end)", "older"))
        copy.command("REPLICAOF", "127.0.0.1", master.port)
        until(lambda: b"master_link_status:up" in copy.ask("INFO", "replication"))
        assert copy.ask("FUNCTION", "DUMP") == source.ask("FUNCTION", "DUMP")
        copy.command("REPLICAOF", "NO", "ONE")
        assert copy.ask("FCALL", "f", 0) == 1
        assert copy.ask("FCALL", "g", 0) == b"-ERR Function not found"
        assert copy.ask("FUNCTION", "FLUSH") == b"OK"


def test_many_functions_and_scripts_are_freed_in_the_background(start_server):
    with start_server().wire() as wire:
        skip_without_interpreter(wire)
        wire.ask("SCRIPT", "FLUSH")
        text = "".join("redis.register_function('f%d', function() return 1 end)\n" % number for number in range(65))
        for kind in ("ASYNC", "SYNC"):
            wire.ask("FUNCTION", "LOAD", library(text))
            wire.ask("FUNCTION", "FLUSH", kind)
            assert b"lazyfreed_objects:66\r\n" in wire.ask("INFO", "memory")
        for number in range(65):
            wire.ask("EVAL", "return %d" % number, 0)
        wire.ask("SCRIPT", "FLUSH", "ASYNC")
        assert b"lazyfreed_objects:131\r\n" in wire.ask("INFO", "memory")
