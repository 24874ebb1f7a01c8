"""Scripts on a real server and on this one: the same values through Lua and back, the same words of refusal."""

from __future__ import annotations

import random
import re

import pytest

from tests.harness.wire import encode
from tests.wire.test_scripts import skip_without_interpreter

VALUES = 400
SEED = 20240917
# A script in tail position, whose place in the text is known to a C function only, and addresses of objects.
PLACE = re.compile(rb"user_script:\d+: | script: [0-9a-f]{40}(, on @user_script:\d+\.)?")

REFUSED = """
    return redis.call()
    return redis.call({})
    return redis.call('nope')
    return redis.call('get')
    return redis.call('object', 'nope', 'a')
    return redis.call('multi')
    return redis.call('eval', 'return 1', 0)
    return redis.pcall('nope')
    return redis.pcall('incr', 'text')
    local ok, e = pcall(redis.call, 'incr', 'text') return e
    local ok, e = pcall(error, {err = 'MY text'}) return e
    local ok, e = pcall(error, {a = 1}) return type(e)
    return redis.error_reply('one')
    return redis.error_reply('-two words')
    return redis.error_reply('two words')
    return redis.error_reply(1)
    return redis.status_reply('fine')
    redis.log(1)
    redis.setresp(4)
    redis.set_repl(9)
    redis.sha1hex()
    redis.acl_check_cmd('nope')
    error()
    error('text')
    error('text', 0)
    error('text', 2)
    error({err = 'MY text', line = 1})
    local t = nil t.x = 1
    return nope
    nope = 1
    redis.call = nil
    rawset(redis, 'a', 1)
    return pairs(1)
    return ('x'):rep(3)
    return string.rep()
    return #cjson.encode({1, 2, {3}})
    local f = function() error('deep') end f()
    local c = coroutine.wrap(function() error('inside') end) c()
    local function f() return f() + 1 end f()
    return tostring(1e15) .. tostring(0.1) .. tostring(-0.0) .. tostring(2 ^ 63)
    local a = cjson.decode('{')
    local a = cjson.decode('[1,]')
    local a = cjson.decode('{"a" 1}')
    local a = cjson.decode('nul')
    local a = cjson.decode('"\\\\q"')
    local a = cjson.encode({[1] = 1, [100] = 1})
    local a = cjson.encode({[true] = 1})
    local a = cjson.encode(0 / 0)
    local a = struct.unpack('i', 'a')
    local a = struct.pack('q', 1)
    local a = bit.band('x')
    local a = cmsgpack.unpack('\\\\217')
"""


@pytest.fixture(params=[2, 3])
def both(server, real_server, request):
    with server.wire(protocol=request.param) as own, real_server.wire(protocol=request.param) as real:
        skip_without_interpreter(own)
        yield own, real


def ask_both(both, *command) -> tuple[bytes, bytes]:
    replies = []
    for wire in both:
        wire.send(encode(*command))
        replies.append(PLACE.sub(b"", wire.read_raw()))
    return replies[0], replies[1]


def lua_string(rng: random.Random) -> str:
    return "'" + "".join(f"\\{rng.randrange(256):03d}" for _ in range(rng.randrange(8))) + "'"


def lua_number(rng: random.Random) -> str:
    return rng.choice(
        (
            str(rng.randrange(-1000, 1000)),
            repr(rng.uniform(-10, 10)),
            str(rng.randrange(-(2**53), 2**53)),
            repr(rng.uniform(-1, 1) * 10.0 ** rng.randrange(-30, 30)),
            "1/0",
            "-1/0",
        )
    )


def lua_value(rng: random.Random, depth: int = 0) -> str:
    kind = rng.randrange(12 if depth < 3 else 5)
    if kind < 2:
        return lua_string(rng)
    if kind < 4:
        return lua_number(rng)
    if kind == 4:
        return rng.choice(("true", "false", "nil"))
    items = [lua_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 5:
        return "{map = {[%s] = %s}}" % (lua_string(rng), items[0] if items and items[0] != "nil" else "1")
    if kind == 6:
        return "{set = {[%s] = true}}" % lua_string(rng)
    if kind == 7:
        return "{double = %s}" % rng.choice((repr(rng.randrange(-80, 80) / 8), "1/0", "3", "'text'"))
    if kind == 8:
        return "{verbatim_string = {string = %s, format = 'txt'}}" % lua_string(rng)
    if kind == 9:
        return rng.choice(("{ok = 'fine'}", "{err = 'MY error'}", "{big_number = '123'}", "{ok = 1}"))
    return "{" + ", ".join(items) + "}"


@pytest.mark.parametrize("switch", ["", "redis.setresp(3) "])
def test_random_values_of_lua_become_the_same_replies(both, switch):
    rng = random.Random(SEED)
    for _ in range(VALUES):
        script = switch + "return " + lua_value(rng)
        own, real = ask_both(both, "EVAL", script, 0)
        assert own == real, script


@pytest.mark.parametrize("switch", ["", "redis.setresp(3) "])
def test_random_values_pass_through_json_and_messagepack_alike(both, switch):
    rng = random.Random(SEED + 1)
    for _ in range(VALUES):
        text = lua_value(rng)
        if "/0" in text:
            continue
        for script in (
            f"{switch}local t = {text} local s = cjson.encode(t) return s",
            f"{switch}local t = {text} local s = cmsgpack.pack(t, 1) return s",
            f"{switch}local t = {text} return cjson.decode(cjson.encode({{t}}))",
            f"{switch}local t = {text} return {{cmsgpack.unpack(cmsgpack.pack(t))}}",
        ):
            own, real = ask_both(both, "EVAL", script, 0)
            assert own == real, script


@pytest.mark.parametrize("switch", ["", "redis.setresp(3) "])
@pytest.mark.parametrize(
    "command",
    [
        "'get', 'text'",
        "'get', 'nothing'",
        "'mget', 'text', 'nothing'",
        "'hgetall', 'hash'",
        "'hget', 'hash', 'nothing'",
        "'smembers', 'set'",
        "'zrange', 'zset', 0, -1, 'withscores'",
        "'zscore', 'zset', 'a'",
        "'zmscore', 'zset', 'a', 'nothing'",
        "'xrange', 'stream', '-', '+'",
        "'xread', 'streams', 'stream', 0",
        "'sismember', 'set', 'a'",
        "'smismember', 'set', 'a', 'z'",
        "'incrbyfloat', 'number', '0.5'",
        "'hincrbyfloat', 'hash', 'number', 1.25",
        "'geopos', 'zset', 'nothing'",
        "'lpos', 'list', 'nothing'",
        "'type', 'list'",
        "'echo', 1e15",
        "'echo', 0.5",
        "'echo', 2 ^ 53",
        "'echo', -1 / 0",
        "'lpush', 'text', 1",
    ],
)
def test_replies_of_commands_come_back_alike(both, switch, command):
    for wire in both:
        wire.ask("SET", "text", "value")
        wire.ask("DEL", "hash", "set", "zset", "list", "stream", "number")
        wire.ask("HSET", "hash", "f", "v")
        wire.ask("SADD", "set", "a")
        wire.ask("ZADD", "zset", "1.5", "a")
        wire.ask("RPUSH", "list", "a", "b")
        wire.ask("XADD", "stream", "1-1", "f", "v")
    for script in (
        f"{switch}return redis.call({command})",
        f"{switch}return {{type(redis.pcall({command})), redis.pcall({command})}}",
    ):
        own, real = ask_both(both, "EVAL", script, 0)
        assert own == real


@pytest.mark.parametrize("script", [line.strip() for line in REFUSED.strip().splitlines()])
def test_refusals_have_the_same_words(both, script):
    for wire in both:
        wire.ask("SET", "text", "value")
    own, real = ask_both(both, "EVAL", script, 0)
    assert own == real
