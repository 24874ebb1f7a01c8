"""Scripts on the wire: the world they see, what becomes of values, what is refused, and how one that runs on ends."""

from __future__ import annotations

import hashlib
import os
import sys
import time

import pytest

from tests.harness.processes import Server
from tests.harness.wire import encode

BUSY = b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
NO_SCRIPT = b"-NOSCRIPT No matching script. Please use EVAL."


def skip_without_interpreter(wire) -> None:
    reply = wire.ask("EVAL", "return 1", 0)
    if isinstance(reply, bytes) and b"pip install lupa" in reply:
        pytest.skip("the interpreter that runs the server has no lupa")


@pytest.fixture
def lua(wire):
    skip_without_interpreter(wire)

    def run(text, *arguments, keys=0):
        return wire.ask("EVAL", text, keys, *arguments)

    run.wire = wire
    return run


def digest(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


# The world ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", "io package debug require python print dofile loadfile module".split())
def test_what_could_reach_outside_does_not_exist(lua, name):
    reply = lua(f"return {name}")
    assert reply.startswith(
        f"-ERR user_script:1: Script attempted to access nonexistent global variable '{name}' script: ".encode()
    )


def test_of_os_only_the_clock_is_there(lua):
    assert lua("local r = {} for k in pairs(os) do r[#r + 1] = k end return r") == [b"clock"]


@pytest.mark.parametrize(
    "attempt",
    [
        "x = 1",
        "redis.call = 1",
        "string.rep = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "rawset(redis, 'call', 1)",
        "table.insert(redis, 1)",
        "setmetatable(_G, {})",
        "setmetatable(redis, nil)",
        "setfenv(0, {})",
        "getmetatable('').__index = {}",
        "getmetatable(_G).__index = {}",
        "getfenv(pcall).x = 1",
    ],
)
def test_what_scripts_share_cannot_be_changed(lua, attempt):
    assert b"Attempt to modify a readonly table" in lua(attempt)


@pytest.mark.parametrize("attempt", ["rawset(_G, 'x', 1)", "setmetatable(string, {})", "table.insert(redis, 1)"])
def test_what_a_library_function_refuses_has_no_position_wherever_it_was_called(lua, attempt):
    for text in (attempt, "return " + attempt):
        assert lua(text).startswith(b"-ERR Attempt to modify a readonly table script: ")


def test_a_number_will_do_for_the_text_of_an_error_table(lua):
    assert lua("error({err=5})") == b"-5 script: %b, on @user_script:1." % digest("error({err=5})").encode()


@pytest.mark.parametrize(
    "expression",
    [
        "getfenv(redis.call)",
        "getfenv(pcall)",
        "getfenv(cjson.encode)",
        "getfenv(0)",
        "getfenv(1)",
        "getfenv(2)",
        "getfenv(loadstring('return 1'))",
        "_G._G",
    ],
)
def test_no_function_leads_to_another_environment(lua, expression):
    # From outside an environment would bring one of these names, whatever a script's own says about missing ones.
    script = f"local ok, env = pcall(function() return {expression} end) if not ok then return 'refused' end "
    script += "for _, name in ipairs({'python', 'io', 'debug', 'package', 'require'}) do "
    script += "if rawget(env, name) ~= nil then return name end "
    script += "local found, value = pcall(function() return env[name] end) "
    script += "if found and value ~= nil then return name end end return 'nothing'"
    assert lua(script) in (b"nothing", b"refused")


def test_every_value_in_reach_is_lua(lua):
    """Walk everything that can be reached from the globals: no userdata but cjson.null, and it has no metatable."""
    script = """
    local seen, found = {}, {}
    local function visit(value, path)
      local kind = type(value)
      if kind == 'userdata' then found[#found + 1] = path .. tostring(getmetatable(value)) end
      if kind ~= 'table' or seen[value] then return end
      seen[value] = true
      local meta = getmetatable(value)
      if meta then visit(meta, path .. '!') end
      for key, item in pairs(value) do visit(item, path .. '.' .. tostring(key)) end
    end
    visit(_G, '') return found
    """
    assert lua(script) == [b"._G.cjson.nullnil"] or lua(script) == [b".cjson.nullnil"]


@pytest.mark.parametrize(
    "catch",
    [
        "local _, e = pcall(redis.call, 'nope') return type(e)",
        "local _, e = pcall(redis.call) return type(e)",
        "local _, e = pcall(redis.sha1hex) return type(e)",
        "local _, e = xpcall(redis.call, function(e) return type(e) end) return e",
        "local _, e = coroutine.resume(coroutine.create(function() redis.call('nope') end)) return type(e)",
        "local _, e = pcall(coroutine.wrap(function() redis.call('nope') end)) return type(e)",
        "local _, e = pcall(string.gsub, 'a', 'a', redis.call) return type(e)",
        "local _, e = pcall(table.sort, {1, 2, 3}, redis.call) return type(e)",
        "local t = setmetatable({}, {__index = redis.call}) local f = function() return t.x end "
        "local _, e = pcall(f) return type(e)",
    ],
)
def test_an_error_of_the_host_is_caught_as_a_table_or_a_string(lua, catch):
    assert lua(catch) in (b"table", b"string")


def test_bytecode_is_not_loaded(lua):
    assert lua("return tostring(loadstring(string.dump(function() end)))") == b"nil"
    script = "local s = string.dump(function() end) "
    assert lua(script + "return tostring(load(function() local r = s s = nil return r end))") == b"nil"


def test_nothing_of_one_script_is_left_for_the_next(lua):
    lua("KEYS.x = 1 ARGV.y = 2 local t = redis.call('ping') t.ok = 'changed'")
    assert lua("return {tostring(KEYS.x), tostring(ARGV.y), redis.call('ping').ok}") == [b"nil", b"nil", b"PONG"]


def test_random_numbers_go_on_from_run_to_run_and_begin_again_when_seeded(lua):
    script = "return {tostring(math.random()), math.random(1000), math.random(5, 9)}"
    assert lua(script) != lua(script)
    assert lua("math.randomseed(0) " + script) == [b"0.17082803611217", 750, 5]
    assert lua("math.randomseed(0) " + script) == [b"0.17082803611217", 750, 5]


def test_what_a_tail_call_of_a_library_raises_says_the_line_it_was_called_from(lua, wire):
    lua("return 1")
    script = "local x = 1\nreturn cjson.decode('{bad')"
    reply = wire.command("EVAL", script, "0")
    assert b"ERR user_script:2: Expected object key string but found invalid token at character 2 script: " in reply[1]
    assert reply[1].endswith(b", on @user_script:2.")


# Values ---------------------------------------------------------------------------------------------------------


def test_strings_are_bytes(lua):
    every = bytes(range(256))
    assert lua("return ARGV[1]", every) == every
    script = "redis.call('set', KEYS[1], ARGV[1]) return redis.call('get', KEYS[1])"
    assert lua(script, b"k\x00\xff", every, keys=1) == every


def test_keys_and_arguments_are_told_apart_however_many_there_are(lua):
    words = [str(number) for number in range(5000)]
    assert lua("return {#KEYS, #ARGV, KEYS[1], KEYS[3000], ARGV[1], ARGV[2000]}", *words, keys=3000) == [
        3000, 2000, b"0", b"2999", b"3000", b"4999",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text, reply",
    [
        ("return 3.99", b":3\r\n"),
        ("return -3.99", b":-3\r\n"),
        ("return {1, 2, nil, 4}", b"*2\r\n:1\r\n:2\r\n"),
        ("return true", b":1\r\n"),
        ("return false", b"$-1\r\n"),
        ("return {ok = 'fine'}", b"+fine\r\n"),
        ("return {err = 'MY error'}", b"-MY error\r\n"),
        ("return {double = 3.5}", b"$3\r\n3.5\r\n"),
        ("return redis.call('set', 'k', 'v')", b"+OK\r\n"),
        ("return redis.call('get', 'nothing')", b"$-1\r\n"),
        ("return redis.call('blpop', 'nothing', 0)", b"$-1\r\n"),
        ("return {{1, {2}}, 'x'}", b"*2\r\n*2\r\n:1\r\n*1\r\n:2\r\n$1\r\nx\r\n"),
    ],
)
def test_what_a_script_returns_in_resp2(lua, text, reply):
    lua.wire.send(encode("EVAL", text, 0))
    assert lua.wire.read_raw() == reply


@pytest.mark.parametrize(
    "text, reply",
    [
        ("return false", b"_\r\n"),
        ("return {double = 3.5}", b",3.5\r\n"),
        ("return {map = {a = 1}}", b"%1\r\n$1\r\na\r\n:1\r\n"),
        ("return {set = {a = true}}", b"~1\r\n$1\r\na\r\n"),
        ("return {big_number = '123'}", b"(123\r\n"),
        ("return {verbatim_string = {string = 'x', format = 'txt'}}", b"=5\r\ntxt:x\r\n"),
        ("redis.setresp(3) return {true, false}", b"*2\r\n#t\r\n#f\r\n"),
        ("redis.setresp(3) return redis.call('hgetall', 'nothing')", b"%0\r\n"),
    ],
)
def test_what_a_script_returns_in_resp3(wire3, text, reply):
    skip_without_interpreter(wire3)
    wire3.send(encode("EVAL", text, 0))
    assert wire3.read_raw() == reply


# Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, error",
    [
        ("error('boom')", "ERR user_script:1: boom"),
        ("\nerror({err = 'MY error'})", "MY error"),
        ("return redis.call('nope')", "ERR Unknown Redis command called from script"),
        ("return redis.call('get')", "ERR Wrong number of args calling Redis command from script"),
        ("return redis.call('multi')", "ERR This Redis command is not allowed from script"),
        ("return redis.call('set', {})", "ERR Lua redis lib command arguments must be strings or integers"),
        ("redis.call('lpush', 'l', 1)\nreturn redis.call('get', 'l')",
         "WRONGTYPE Operation against a key holding the wrong kind of value"),
    ],
)  # fmt: skip
def test_an_error_says_where_it_arose(lua, text, error):
    line = text.count("\n") + 1
    assert lua(text).decode() == f"-{error} script: {digest(text)}, on @user_script:{line}."


def test_a_script_that_does_not_compile_is_refused(lua):
    assert lua("return return") == (
        b"-ERR Error compiling script (new function): user_script:1: unexpected symbol near 'return'"
    )


def test_flags_of_the_first_line_hold(lua):
    assert b"Write commands are not allowed from read-only scripts." in lua(
        "#!lua flags=no-writes\nreturn redis.call('set', 'a', 'b')"
    )
    assert lua("#!lua flags=nonsense\nreturn 1") == b"-ERR Unexpected flag in script shebang: nonsense"
    assert lua.wire.ask("EVAL_RO", "#!lua\nreturn 1", 0) == (
        b"-ERR Can not execute a script with write flag using *_ro command."
    )


def test_a_script_whose_flags_refuse_it_counts_as_rejected_and_spoils_its_transaction(lua):
    ask = lua.wire.ask
    ask("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('writes', function() return 1 end)")
    ask("CONFIG", "SET", "min-replicas-to-write", 1)
    try:
        ask("CONFIG", "RESETSTAT")
        calls = [("EVAL", "#!lua\nreturn 3", 0), ("FCALL", "writes", 0)]
        assert [ask(*call) for call in calls] == [b"-NOREPLICAS Not enough good replicas to write."] * 2
        assert ask("EVALSHA", digest("#!lua\nreturn 3"), 0) == NO_SCRIPT  # it did not come as far as the cache
        for call in calls:
            assert (ask("MULTI"), ask(*call)[:11], ask("EXEC")[:10]) == (b"OK", b"-NOREPLICAS", b"-EXECABORT")
        counted = ask("INFO", "commandstats")
        for name in (b"eval", b"fcall"):
            assert b"cmdstat_%b:calls=0,usec=0,usec_per_call=0.00,rejected_calls=2,failed_calls=0\r\n" % name in counted
        assert ask("EVAL", "#!lua flags=no-writes\nreturn 1", 0) == ask("EVAL", "return 1", 0) == 1
    finally:
        ask("CONFIG", "SET", "min-replicas-to-write", 0)
        ask("FUNCTION", "FLUSH")


# The cache ------------------------------------------------------------------------------------------------------


def test_a_loaded_script_runs_by_its_digest_until_the_flush(lua):
    ask = lua.wire.ask
    name = ask("SCRIPT", "LOAD", "return ARGV[1]")
    assert name.decode() == digest("return ARGV[1]")
    assert ask("EVALSHA", name, 0, "x") == ask("EVALSHA", name.upper(), 0, "x") == b"x"
    assert ask("SCRIPT", "EXISTS", name, "nothing") == [1, 0]
    assert ask("SCRIPT", "FLUSH") == b"OK"
    assert ask("EVALSHA", name, 0, "x") == NO_SCRIPT


def test_what_eval_brought_is_forgotten_and_what_was_loaded_stays(lua):
    ask = lua.wire.ask
    ask("SCRIPT", "FLUSH")
    evicted = info_field(ask, "evicted_scripts")  # other tests were here before
    loaded = ask("SCRIPT", "LOAD", "return 'kept'")
    for number in range(600):
        assert lua(f"return {number}") == number
    assert ask("EVALSHA", digest("return 0"), 0) == NO_SCRIPT
    assert ask("EVALSHA", digest("return 599"), 0) == 599
    assert ask("EVALSHA", loaded, 0) == b"kept"
    assert info_field(ask, "number_of_cached_scripts") == 501
    assert info_field(ask, "evicted_scripts") == evicted + 100


def info_field(ask, name: str) -> int:
    return int(ask("INFO", "everything").decode().partition(f"\n{name}:")[2].split()[0])


# Around a script ------------------------------------------------------------------------------------------------


def test_select_in_a_script_ends_with_it(lua):
    lua("redis.call('select', 3) redis.call('set', 'where', 'three')")
    assert lua.wire.ask("GET", "where") is None
    lua.wire.ask("SELECT", 3)
    assert lua.wire.ask("GET", "where") == b"three"


def test_no_key_lapses_while_a_script_runs(lua):
    script = "redis.call('set', 'k', 'v', 'px', 10) local t = os.clock() while os.clock() - t < 0.05 do end "
    assert lua(script + "return redis.call('get', 'k')") == b"v"
    deadline = time.monotonic() + 5
    while lua.wire.ask("GET", "k") is not None:
        assert time.monotonic() < deadline


def test_a_script_wakes_a_waiter_when_it_has_ended(lua, server):
    with server.wire() as waiter:
        waiter.send(encode("BLPOP", "queue", 0))
        while b"blocked_clients:1" not in lua.wire.ask("INFO", "clients"):
            pass
        lua("redis.call('rpush', 'queue', 'first') redis.call('lpush', 'queue', 'second')")
        assert waiter.read()[1] == [(b"$", b"queue"), (b"$", b"second")]


def test_a_script_inside_exec_and_after_watch(lua):
    ask = lua.wire.ask
    ask("MULTI")
    ask("EVAL", "return redis.call('incr', KEYS[1])", 1, "n")
    ask("EVAL", "error('x')", 0)
    ask("GET", "n")
    number, error, value = ask("EXEC")
    assert (number, value) == (1, b"1") and error.startswith(b"-ERR user_script:1: x")


def test_monitors_see_the_script_and_then_its_commands(lua, server):
    with server.wire() as monitor:
        monitor.ask("MONITOR")
        lua("return redis.call('get', 'k')")
        seen = [monitor.read()[1], monitor.read()[1]]
    assert b'"EVAL"' in seen[0] and b'[0 lua] "get" "k"' in seen[1]


# Running on -----------------------------------------------------------------------------------------------------


def test_a_client_that_comes_and_goes_while_a_script_runs_on_does_not_end_it(lua, server):
    """The script holds the clock: whoever came meanwhile was younger than none, and could not be described."""
    lua.wire.ask("CONFIG", "SET", "busy-reply-threshold", 50)
    lua.wire.ask("CONFIG", "SET", "loglevel", "verbose")
    try:
        with server.wire() as other:
            lua.wire.send(encode("EVAL", "while true do end", 0))
            until_busy(other)
            for _ in range(3):
                server.wire().close()
            server.wait_for_log("Client closed connection")
            assert other.ask("PING") == BUSY
            assert other.ask("SCRIPT", "KILL") == b"OK"
            assert lua.wire.read()[1].startswith(b"ERR Script killed by user with SCRIPT KILL... script: ")
    finally:
        lua.wire.ask("CONFIG", "SET", "busy-reply-threshold", 5000)
        lua.wire.ask("CONFIG", "SET", "loglevel", "notice")


@pytest.mark.parametrize(
    "text",
    [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "coroutine.wrap(function() while true do end end)()",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "local c = coroutine.create(function() while true do end end) while true do coroutine.resume(c) end",
        "string.gsub(string.rep('a', 10), 'a', function() while true do end end)",
    ],
)
def test_a_script_that_runs_on_is_killed_whatever_it_catches(lua, server, text):
    lua.wire.ask("CONFIG", "SET", "busy-reply-threshold", 50)
    try:
        with server.wire() as other:
            lua.wire.send(encode("EVAL", text, 0) + encode("PING"))
            until_busy(other)
            assert other.ask("GET", "k") == BUSY
            assert other.ask("SHUTDOWN") == BUSY
            assert other.ask("SCRIPT", "KILL") == b"OK"
            assert lua.wire.read()[1].startswith(b"ERR Script killed by user with SCRIPT KILL... script: ")
            server.wait_for_log("Lua script killed by user with SCRIPT KILL.")
            assert lua.wire.read()[1] == b"PONG"
            assert other.ask("SCRIPT", "KILL") == b"-NOTBUSY No scripts in execution right now."
    finally:
        lua.wire.ask("CONFIG", "SET", "busy-reply-threshold", 5000)


def until_busy(wire) -> None:
    deadline = time.monotonic() + 5
    while wire.ask("PING") == b"PONG":
        assert time.monotonic() < deadline


def test_a_script_that_has_written_cannot_be_killed(lua, server):
    lua.wire.ask("CONFIG", "SET", "busy-reply-threshold", 20)
    try:
        with server.wire() as other:
            text = "redis.call('set', 'k', 'v') local t = os.clock() while os.clock() - t < 0.4 do end return 'end'"
            lua.wire.send(encode("EVAL", text, 0))
            until_busy(other)
            assert other.ask("SCRIPT", "KILL").startswith(b"-UNKILLABLE Sorry the script already executed write")
            assert lua.wire.read()[1] == b"end"
    finally:
        lua.wire.ask("CONFIG", "SET", "busy-reply-threshold", 5000)


def test_shutdown_nosave_ends_the_server_while_a_script_runs_on(start_server):
    server = start_server("--busy-reply-threshold", 20, "--save", "")
    with server.wire() as wire, server.wire() as other:
        skip_without_interpreter(wire)
        wire.send(encode("EVAL", "while true do end", 0))
        until_busy(other)
        other.send(encode("SHUTDOWN", "NOSAVE"))
        assert server.wait() == 0


HIDING = (
    "import runpy, sys; sys.modules['lupa'] = None; runpy.run_module('server', run_name='__main__', alter_sys=True)"
)


def test_without_an_interpreter_the_error_says_what_to_install(tmp_path):
    python = os.environ.get("REDISELECT_PYTHON") or sys.executable
    with Server([python, "-c", HIDING], ("--save", ""), directory=tmp_path) as server, server.wire() as wire:
        for command in (("EVAL", "return 1", 0), ("SCRIPT", "LOAD", "return 1"), ("FCALL", "f", 0)):
            assert b"pip install lupa" in wire.ask(*command)
        assert wire.ask("SET", "k", "v") == b"OK"
        assert wire.ask("SCRIPT", "EXISTS", "a") == [0]


SPARING = (
    "import runpy, server.scripting.interpreter as interpreter; interpreter.most_bytes = lambda: 64 << 20; "
    "runpy.run_module('server', run_name='__main__', alter_sys=True)"
)


def test_a_script_that_fills_memory_fails_and_the_next_one_runs(tmp_path):
    python = os.environ.get("REDISELECT_PYTHON") or sys.executable
    with Server([python, "-c", SPARING], ("--save", ""), directory=tmp_path) as server, server.wire() as wire:
        skip_without_interpreter(wire)
        for filling in (
            "local s = 'x' while true do s = s .. s end",
            "local t = {} while true do t[#t + 1] = {} end",
            "return redis.call('echo', string.rep('x', 1e8))",
        ):
            assert wire.ask("EVAL", filling, 0).startswith(b"-ERR not enough memory script: ")
            assert wire.ask("EVAL", "return #string.rep('x', 1e7)", 0) == 10_000_000


@pytest.mark.parametrize("length", [0, 1, 32, 33, 300])
def test_a_list_is_a_table_however_long_it_is(lua, length):
    script = "redis.call('del', 'l') for i = 1, tonumber(ARGV[1]) do redis.call('rpush', 'l', i) end "
    script += "local t = redis.call('lrange', 'l', 0, -1) t[#t + 1] = redis.call('mget', 'l', 'none')[2] return {t, #t}"
    assert lua(script, length) == [[b"%d" % (place + 1) for place in range(length)] + [None], length + 1]


# Edges ----------------------------------------------------------------------------------------------------------


def test_a_command_may_have_as_many_arguments_as_the_stack_of_lua_takes(lua):
    fill = "local x = {} for i = 1, 7999 do x[i] = 1 end "
    assert lua(fill + "return redis.call('lpush', KEYS[1], unpack(x))", "many", keys=1) == 7999
    assert lua(fill + "return redis.call('set', KEYS[1], 1, unpack(x))", "many", keys=1).startswith(b"-ERR syntax")
    assert lua(fill + "x[7] = {} return redis.pcall('lpush', KEYS[1], unpack(x))", "many", keys=1) == (
        b"-ERR Lua redis lib command arguments must be strings or integers"
    )


@pytest.mark.parametrize(
    "script, said",
    [
        ("local _, e = loadstring('\\27Lua') return e", b"[string \"\x1bLua\"]:1: unexpected symbol near 'char(27)'"),
        ("local n = 0 local _, e = load(function() n = n + 1 if n == 1 then return '\\27Lua' end end) return e",
         b"(load):1: unexpected symbol near 'char(27)'"),
        ("local _, e = load(function() redis.call('nosuch') end) return e.err",
         b"ERR Unknown Redis command called from script"),
        ("setfenv(pcall, {})", b"'setfenv' cannot change environment of given object"),
        ("table.insert(nil, 1)", b"bad argument #1 to 'insert' (table expected, got nil)"),
        ("collectgarbage('nosuch')", b"bad argument #1 to 'collectgarbage' (invalid option 'nosuch')"),
        ("redis.setresp('3') redis.log('3', 'x') return tostring(cjson.decode('+5') + cjson.decode('-.5'))", b"4.5"),
        ("return select(2, pcall(redis.log, 'a', 'x'))", b"ERR First argument must be a number (log level)."),
        ("local function f() return setfenv(1, {}) end f() redis.set_repl('a') return 'none'", b"none"),
        ("local function f() return getfenv() end return tostring(f() == _G)", b"true"),
        ("cjson.encode_max_depth(1, 2)", b"bad argument #2 to 'encode_max_depth' (found too many arguments)"),
        ("return tostring(select('#', cmsgpack.unpack_limit('\\1\\2\\3', 0)))", b"3"),
        ("#!lua flags=no-writes,\nreturn 1", b"Unexpected flag in script shebang: "),
        ("#!lua flags=\"no-writes\"\nreturn 'quoted'", b"quoted"),
        ("struct.pack('c5', 'abc')", b"bad argument #3 to 'pack' (string too short)"),
    ],
)
def test_the_libraries_answer_as_in_redis(lua, script, said):
    reply = lua(script)
    assert reply in (said, b"-ERR " + said) or reply.startswith(b"-ERR user_script:1: " + said + b" script: ")


def test_a_negative_zero_keeps_its_sign_in_a_script(lua):
    for score in ("{double=-0.0}", "redis.call('ZADD', 'z', 'INCR', '-0', 'm')"):
        assert lua("redis.setresp(3) return " + score) == b"-0"


def test_a_reader_that_goes_on_for_ever_is_killed(lua, server):
    lua.wire.command("CONFIG", "SET", "busy-reply-threshold", 20)
    try:
        with server.wire() as other:
            lua.wire.send(encode("EVAL", "while true do load(function() return ' ' end) end", 0))
            until_busy(other)
            assert other.ask("SCRIPT", "KILL") == b"OK"
        assert lua.wire.read()[1].startswith(b"ERR Script killed by user with SCRIPT KILL... script: ")
    finally:
        lua.wire.command("CONFIG", "SET", "busy-reply-threshold", 5000)


def test_an_error_counts_once_under_its_first_word(lua):
    ask = lua.wire.ask
    ask("SET", "text", "x")
    ask("CONFIG", "RESETSTAT")
    own = ("redis.pcall()", "redis.setresp(4)", "redis.sha1hex()", "{err='word'}")
    for failing in ("redis.call('incr', 'text')", *own):
        lua("return " + failing)
    lua("return pcall(redis.setresp, 4)")  # never left the script
    assert ask("INFO", "errorstats") == b"# Errorstats\r\nerrorstat_ERR:count=5\r\n"
    for text in ("a:b c", "x" * 30 + " y", "x" * 31 + " y"):
        lua("return {err=ARGV[1]}", text)
    assert ask("INFO", "errorstats").split(b"\r\n")[1:4] == [
        b"errorstat_ERR:count=6", b"errorstat_a_b:count=1", b"errorstat_" + b"x" * 30 + b":count=1"
    ]


def test_an_error_that_asks_not_to_be_counted_is_not(lua):
    lua.wire.ask("CONFIG", "RESETSTAT")
    lua("return {err='SILENT one', ignore_error_stats_update=true}")
    lua("error({err='SILENT too', ignore_error_stats_update=true})")
    lua("return {err='LOUD one'}")
    assert b"# Errorstats\r\nerrorstat_LOUD:count=1\r\n" in lua.wire.ask("INFO", "errorstats")
