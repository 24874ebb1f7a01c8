"""The debugger of scripts, in the words in which `redis-cli --ldb` asks and is answered."""

from __future__ import annotations

import os

import pytest

from tests.harness.wire import Closed, plain
from tests.wire.test_scripts import skip_without_interpreter

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
END = [b"<endsession>"]
SCRIPT = """local foo = redis.call('ping')
local t = {1,2,'x',{a=1}}
local function add(a,b)
  local c = a+b
  return c
end
local r = add(1,2)
redis.debug('sum',r)
redis.call('set',KEYS[1],ARGV[1])
return {r,foo}
"""


@pytest.fixture
def debug(server):
    """Start a session: debug(script, keys, arguments, mode=...) is its connection, standing at the first line."""
    wires = []

    def start(script, *arguments, keys=0, mode="YES"):
        wire = server.wire()
        wires.append(wire)
        skip_without_interpreter(wire)
        assert wire.ask("SCRIPT", "DEBUG", mode) == b"OK"
        wire.stop = wire.ask("EVAL", script, keys, *arguments)
        return wire

    yield start
    for wire in wires:
        wire.close()


def reply_of(wire):
    return plain(wire.read())


def is_closed(wire) -> bool:
    try:
        wire.read()
    except Closed:
        return True
    return False


@needs_fork
def test_stepping_shows_lines_commands_and_replies_and_what_changed_is_rolled_back(debug, wire):
    client = debug(SCRIPT, "k", "v", keys=1)
    assert client.stop == [b"* Stopped at 1, stop reason = step over", b"-> 1   local foo = redis.call('ping')"]
    assert client.ask("s")[:3] == [b"<redis> ping", b'<reply> "+PONG"', b"* Stopped at 2, stop reason = step over"]
    for line in (6, 7, 4, 5, 8):
        assert client.ask("NEXT")[0] == b"* Stopped at %d, stop reason = step over" % line
    assert client.ask("n")[0] == b'<debug> line 8: "sum", 3'
    assert client.ask("n")[:2] == [b"<redis> set k v", b'<reply> "+OK"']
    assert client.ask("r", "get", "k") == [b"<redis> get k", b'<reply> "v"']
    assert client.ask("n") == END
    assert reply_of(client) == [3, b"PONG"]
    assert is_closed(client)
    assert wire.ask("EXISTS", "k") == 0


def test_in_sync_mode_changes_stay_and_the_client_is_closed_behind_the_reply(debug, wire):
    client = debug(SCRIPT, "k", "v", keys=1, mode="SYNC")
    assert client.ask("c") == [b'<debug> line 8: "sum", 3'] + END
    assert reply_of(client) == [3, b"PONG"]
    assert is_closed(client)
    assert wire.ask("GET", "k") == b"v"


def test_breakpoints_trace_and_variables(debug):
    client = debug(SCRIPT, "k", "v", keys=1, mode="SYNC")
    assert client.ask("b") == [b"No breakpoints set. Use 'b <line>' to add one."]
    assert client.ask("b", "4") == [b"   3   local function add(a,b)", b"  #4     local c = a+b", b"   5     return c"]
    assert client.ask("b", "99", "x", "-7") == [
        b"Wrong line number.",
        b"Invalid argument:'x'",
        b"No breakpoint in the specified line.",
    ]
    assert client.ask("c") == [b"* Stopped at 4, stop reason = break point", b"->#4     local c = a+b"]
    assert client.ask("t") == [b"In add:", b"->#4     local c = a+b", b"From top level:", b"   7   local r = add(1,2)"]
    assert client.ask("p") == [b"<value> a = 1", b"<value> b = 2"]
    assert client.ask("p", "t") == [b'<value> {1; 2; "x"; {["a"]=1}}']
    assert client.ask("p", "KEYS") == [b'<value> {"k"}']
    assert client.ask("print", "nothing") == [b"No such variable."]
    assert client.ask("b", "0") == [b"All breakpoints removed."]
    assert client.ask("l", "2", "1")[1:] == [b"   2   local t = {1,2,'x',{a=1}}", b"   3   local function add(a,b)"]
    assert len(client.ask("w")) == 10
    assert client.ask("a") == END
    assert reply_of(client).startswith(b"-ERR script aborted for user request script: ")


def test_code_and_commands_of_the_client(debug):
    client = debug("local t = {}\nt.t = t\nreturn redis.pcall('nosuch')", mode="SYNC")
    assert client.ask("e", "1+1") == [b"<retval> 2"]
    assert client.ask("e", "redis.call('set','a','b')") == [b'<retval> {["ok"]="OK"}']
    assert client.ask("e", "x=1") == [b"<error> ldb_eval:1: Attempt to modify a readonly table"]
    assert client.ask("r", "rpush", "l", "1", "\r\n") == [b"<redis> rpush l 1   ", b"<reply> 2"]
    assert client.ask("r", "lrange", "l", "0", "-1") == [b"<redis> lrange l 0 -1", b'<reply> ["1","\\r\\n"]']
    assert client.ask("r", "incr", "a") == [
        b"<redis> incr a",
        b"<error> -ERR value is not an integer or out of range",
        b'<reply> "-ERR value is not an integer or out of range"',
    ]
    assert client.ask("maxlen", "1") == [b"<value> replies are truncated at 60 bytes."]
    assert client.ask("e", "('x'):rep(100)") == [b'<retval> "' + b"x" * 50 + b" ..."]
    assert client.ask("m", "0") == [b"<value> replies are unlimited."]
    assert client.ask("z") == [b"<error> Unknown Redis Lua debugger command or wrong number of arguments."]
    assert client.ask("h")[0] == b"Redis Lua debugger help:"
    client.ask("n")
    client.ask("n")
    assert client.ask("p") == [b"<value> t = " + b'{["t"]=' * 9 + b"{[%b]=%b}" % ((NESTED,) * 2) + b"}" * 9]
    assert client.ask("n") == [b"<redis> nosuch", b"<error> Unknown Redis command called from script"] + END


NESTED = b"<max recursion level reached! Nested table?>"


def test_coroutines_are_stepped_into(debug):
    client = debug("local f = coroutine.wrap(function()\n local x = 5\n return x\nend)\nreturn f()", mode="SYNC")
    client.ask("b", "3")
    assert client.ask("c")[0] == b"* Stopped at 3, stop reason = break point"
    assert client.ask("p") == [b"<value> x = 5"]
    assert client.ask("c") == END
    assert reply_of(client) == 5


def test_a_script_whose_client_is_gone_runs_to_its_end(debug, wire):
    client = debug("local a = 1\nredis.call('set','k','v')\nreturn a", mode="SYNC")
    client.close()
    assert wire.ask("GET", "k") == b"v"


def test_an_endless_script_stops_by_itself_and_ends_when_its_client_is_gone(debug, wire):
    wire.command("CONFIG", "SET", "busy-reply-threshold", "20")
    try:
        client = debug("while true do\n  local a = 1\nend", mode="SYNC")
        assert b"stop reason = timeout reached, infinite loop?" in client.ask("c")[0]
        client.close()
        assert wire.ask("PING") == b"PONG"
    finally:
        wire.command("CONFIG", "SET", "busy-reply-threshold", "5000")


def test_what_is_no_order_ends_the_script(debug):
    client = debug("return 1", mode="SYNC")
    client.send(b"PING\r\n")
    assert reply_of(client) == END
    assert reply_of(client).startswith(b"-ERR protocol error script: ")


def test_refusals(server):
    with server.wire() as client:
        skip_without_interpreter(client)
        assert client.ask("SCRIPT", "DEBUG", "x") == b"-ERR Use SCRIPT DEBUG YES/SYNC/NO"
        client.send(b"PING\r\nSCRIPT DEBUG YES\r\n")
        assert [reply_of(client), reply_of(client)] == [
            b"PONG",
            b"-ERR SCRIPT DEBUG must be called outside a pipeline",
        ]
        client.command("SCRIPT", "DEBUG", "YES")
        assert client.ask("EVALSHA", "f" * 40, 0) == b"-ERR Please use EVAL instead of EVALSHA for debugging"
        client.command("SCRIPT", "DEBUG", "NO")
        assert client.ask("EVAL", "return redis.breakpoint()", 0) is None


@needs_fork
def test_the_end_of_the_server_ends_its_sessions(start_server):
    server = start_server()
    with server.wire() as client:
        skip_without_interpreter(client)
        client.command("SCRIPT", "DEBUG", "YES")
        client.command("EVAL", "return 1", 0)
        server.stop()
        assert is_closed(client)
    assert "Killing debugging session" in server.log()
