"""What a key of each type answers, in a few lines of Python: the model of the clients with keys of their own.

Owns no connection. An operation is `(argv, kind, effect)`: `kind` is the class of value it wants, `object` for any,
and `effect(value)` returns `(reply, new value)`, where None is a missing key. Values handed to an effect are copies.
Replies without an order (SMEMBERS, HGETALL) come sorted, see `canonical`.
"""

from __future__ import annotations

import copy
import random

from soak.links import Refusal

WRONG_TYPE = Refusal(b"WRONGTYPE Operation against a key holding the wrong kind of value")
NOT_AN_INTEGER = Refusal(b"ERR value is not an integer or out of range")
HASH_NOT_AN_INTEGER = Refusal(b"ERR hash value is not an integer")
NO_SUCH_KEY = Refusal(b"ERR no such key")
INDEX_OUT_OF_RANGE = Refusal(b"ERR index out of range")
MAX_ELEMENTS = 200  # past this an operation shrinks; past 128 the small encodings have ended
MAX_STRING = 2000


class Scores(dict):
    """A sorted set: member to integer score."""

    def ordered(self) -> list:
        return sorted(self.items(), key=lambda item: (item[1], item[0]))


class Log:
    """A stream: entries and the last ID, which outlives them."""

    def __init__(self) -> None:
        self.entries: list = []
        self.last = 0

    def __copy__(self) -> Log:
        other = Log()
        other.entries = list(self.entries)
        other.last = self.last
        return other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Log) and (self.entries, self.last) == (other.entries, other.last)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"Log(last={self.last}, {self.entries!r})"


TYPE_NAMES = {bytes: b"string", list: b"list", dict: b"hash", set: b"set", Scores: b"zset", Log: b"stream"}


def canonical(argv, reply):
    """Return a reply with what has no order sorted."""
    if isinstance(reply, list):
        if argv[0] == "SMEMBERS":
            return sorted(reply)
        if argv[0] == "HGETALL":
            return sorted(zip(reply[::2], reply[1::2]))
    return reply


def expected(operation, value):
    """Return the reply and the new value; the value itself stays as it is."""
    _, kind, effect = operation
    if value is not None and kind is not object and type(value) is not kind:
        return WRONG_TYPE, value
    reply, new = effect(copy.copy(value) if value is not None else None)
    if new is not None and type(new) not in (bytes, Log) and not new:
        new = None
    return reply, new


def observe(call, key):
    """Read a whole key as a model's value."""
    kind = call("TYPE", key)
    if kind == b"none":
        return None
    if kind == b"string":
        return call("GET", key)
    if kind == b"list":
        return call("LRANGE", key, 0, -1)
    if kind == b"hash":
        flat = call("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2]))
    if kind == b"set":
        return set(call("SMEMBERS", key))
    if kind == b"zset":
        flat = call("ZRANGE", key, 0, -1, "WITHSCORES")
        return Scores(zip(flat[::2], map(int, flat[1::2])))
    log = Log()
    log.entries = [(identifier, fields) for identifier, fields in call("XRANGE", key, "-", "+")]
    info = call("XINFO", "STREAM", key)
    log.last = int(info[info.index(b"last-generated-id") + 1].split(b"-")[0])
    return log


def word(rng: random.Random) -> bytes:
    shape = rng.random()
    if shape < 0.5:
        return b"%d" % rng.randrange(40)
    if shape < 0.9:
        return b"w%d" % rng.randrange(400)
    return rng.choice((b"", b"\r\n", b"\0\xff", b"a b")) + b"x" * rng.randrange(100)


def span(length: int, start: int, stop: int) -> slice:
    """Return Redis's inclusive range, with its negative indexes, as a slice."""
    start = max(0, start + length) if start < 0 else start
    stop = stop + length if stop < 0 else stop
    return slice(start, max(start, stop + 1))


def integer(value: bytes | None) -> int | None:
    """Return what INCRBY takes the value for, None if it refuses."""
    if value is None:
        return 0
    try:
        number = int(value)
    except ValueError:
        return None
    return number if b"%d" % number == value else None


def string_operation(rng: random.Random, key: bytes):
    name = rng.choice(("SET", "GET", "APPEND", "STRLEN", "SETRANGE", "GETRANGE", "INCRBY", "GETDEL", "GETSET", "SETNX",
                       "SETBIT", "BITCOUNT"))  # fmt: skip
    data, a, b = word(rng), rng.randrange(-20, 60), rng.randrange(-20, 60)
    if name == "SET":
        return (name, key, data), object, lambda v: (b"OK", data)
    if name == "GET":
        return (name, key), bytes, lambda v: (v, v)
    if name == "APPEND":
        return (name, key, data), bytes, lambda v: (len((v or b"") + data), ((v or b"") + data))
    if name == "STRLEN":
        return (name, key), bytes, lambda v: (len(v or b""), v)
    if name == "SETRANGE":

        def effect(v):
            if not data:
                return len(v or b""), v
            old = (v or b"").ljust(abs(a), b"\0")
            new = old[: abs(a)] + data + old[abs(a) + len(data) :]
            return len(new), new

        return (name, key, abs(a), data), bytes, effect
    if name == "GETRANGE":
        return (name, key, a, b), bytes, lambda v: ((v or b"")[get_range(len(v or b""), a, b)], v)
    if name == "INCRBY":

        def effect(v):
            number = integer(v)
            return (NOT_AN_INTEGER, v) if number is None else (number + a, b"%d" % (number + a))

        return (name, key, a), bytes, effect
    if name == "GETDEL":
        return (name, key), bytes, lambda v: (v, None)
    if name == "GETSET":
        return (name, key, data), bytes, lambda v: (v, data)
    if name == "SETNX":
        return (name, key, data), object, lambda v: (1, data) if v is None else (0, v)
    if name == "SETBIT":
        offset, bit = rng.randrange(2000), rng.randrange(2)

        def effect(v):
            new = bytearray((v or b"").ljust(offset // 8 + 1, b"\0"))
            mask = 128 >> offset % 8
            old = 1 if new[offset // 8] & mask else 0
            new[offset // 8] = new[offset // 8] & ~mask | (mask if bit else 0)
            return old, bytes(new)

        return (name, key, offset, bit), bytes, effect
    return (name, key), bytes, lambda v: (sum(bin(byte).count("1") for byte in v or b""), v)


def get_range(length: int, start: int, stop: int) -> slice:
    if start < 0 and stop < 0 and start > stop:
        return slice(0, 0)
    stop = max(0, stop + length) if stop < 0 else stop
    return span(length, start, stop)


def list_operation(rng: random.Random, key: bytes):
    name = rng.choice(("LPUSH", "RPUSH", "LPUSH", "RPUSH", "LPOP", "RPOP", "LLEN", "LRANGE", "LINDEX", "LSET", "LREM",
                       "LTRIM", "LINSERT", "LMOVE"))  # fmt: skip
    data = [word(rng) for _ in range(rng.randrange(1, 12))]
    a, b = rng.randrange(-30, 60), rng.randrange(-30, 60)
    if name in ("LPUSH", "RPUSH"):

        def effect(v):
            new = data[::-1] + (v or []) if name == "LPUSH" else (v or []) + data
            return len(new), new

        return (name, key, *data), list, effect
    if name in ("LPOP", "RPOP"):
        return (name, key), list, lambda v: (v.pop(0 if name == "LPOP" else -1) if v else None, v)
    if name == "LLEN":
        return (name, key), list, lambda v: (len(v or []), v)
    if name == "LRANGE":
        return (name, key, a, b), list, lambda v: ((v or [])[span(len(v or []), a, b)], v)
    if name == "LINDEX":
        return (name, key, a), list, lambda v: (v[a] if v and -len(v) <= a < len(v) else None, v)
    if name == "LSET":

        def effect(v):
            if v is None:
                return NO_SUCH_KEY, v
            if not -len(v) <= a < len(v):
                return INDEX_OUT_OF_RANGE, v
            v[a] = data[0]
            return b"OK", v

        return (name, key, a, data[0]), list, effect
    if name == "LREM":
        count = rng.randrange(-2, 3)

        def effect(v):
            if v is None:
                return 0, v
            places = [i for i, item in enumerate(v) if item == data[0]]
            gone = set(places if count == 0 else places[:count] if count > 0 else places[count:])
            return len(gone), [item for i, item in enumerate(v) if i not in gone]

        return (name, key, count, data[0]), list, effect
    if name == "LTRIM":
        return (name, key, a, b), list, lambda v: (b"OK", v and v[span(len(v), a, b)])
    if name == "LINSERT":

        def effect(v):
            if v is None:
                return 0, v
            if data[0] not in v:
                return -1, v
            v.insert(v.index(data[0]), data[-1])
            return len(v), v

        return (name, key, "BEFORE", data[0], data[-1]), list, effect

    def rotate(v):
        if v is None:
            return None, v
        v.insert(0, v.pop())
        return v[0], v

    return (name, key, key, "RIGHT", "LEFT"), list, rotate


def hash_operation(rng: random.Random, key: bytes):
    name = rng.choice(("HSET", "HSET", "HGET", "HDEL", "HGETALL", "HLEN", "HINCRBY", "HMGET", "HEXISTS", "HSETNX"))
    fields = [word(rng) for _ in range(rng.randrange(1, 8))]
    if name == "HSET":
        values = [word(rng) for _ in fields]

        def effect(v):
            v = v or {}
            before = len(v)
            v.update(zip(fields, values))
            return len(v) - before, v

        return (name, key, *[part for pair in zip(fields, values) for part in pair]), dict, effect
    if name == "HGET":
        return (name, key, fields[0]), dict, lambda v: ((v or {}).get(fields[0]), v)
    if name == "HDEL":

        def effect(v):
            gone = sum(1 for field in fields if (v or {}).pop(field, None) is not None)
            return gone, v

        return (name, key, *fields), dict, effect
    if name == "HGETALL":
        return (name, key), dict, lambda v: (sorted((v or {}).items()), v)
    if name == "HLEN":
        return (name, key), dict, lambda v: (len(v or {}), v)
    if name == "HINCRBY":

        def effect(v):
            number = integer((v or {}).get(fields[0]))
            if number is None:
                return HASH_NOT_AN_INTEGER, v
            v = v or {}
            v[fields[0]] = b"%d" % (number + 7)
            return number + 7, v

        return (name, key, fields[0], 7), dict, effect
    if name == "HMGET":
        return (name, key, *fields), dict, lambda v: ([(v or {}).get(field) for field in fields], v)
    if name == "HEXISTS":
        return (name, key, fields[0]), dict, lambda v: (int(fields[0] in (v or {})), v)

    def set_new(v):
        v = v or {}
        if fields[0] in v:
            return 0, v
        v[fields[0]] = fields[-1]
        return 1, v

    return (name, key, fields[0], fields[-1]), dict, set_new


def set_operation(rng: random.Random, key: bytes):
    name = rng.choice(("SADD", "SADD", "SREM", "SISMEMBER", "SMEMBERS", "SCARD", "SMISMEMBER"))
    members = [word(rng) for _ in range(rng.randrange(1, 10))]
    if name == "SADD":
        return (name, key, *members), set, lambda v: (len(set(members) - (v or set())), (v or set()) | set(members))
    if name == "SREM":
        return (name, key, *members), set, lambda v: (len(set(members) & (v or set())), (v or set()) - set(members))
    if name == "SISMEMBER":
        return (name, key, members[0]), set, lambda v: (int(members[0] in (v or ())), v)
    if name == "SMISMEMBER":
        return (name, key, *members), set, lambda v: ([int(member in (v or ())) for member in members], v)
    if name == "SMEMBERS":
        return (name, key), set, lambda v: (sorted(v or ()), v)
    return (name, key), set, lambda v: (len(v or ()), v)


def sorted_set_operation(rng: random.Random, key: bytes):
    name = rng.choice(("ZADD", "ZADD", "ZREM", "ZSCORE", "ZRANK", "ZRANGE", "ZCARD", "ZINCRBY", "ZCOUNT", "ZPOPMIN",
                       "ZREMRANGEBYRANK"))  # fmt: skip
    members = [word(rng) for _ in range(rng.randrange(1, 10))]
    a, b = rng.randrange(-30, 60), rng.randrange(-30, 60)
    if name == "ZADD":
        pairs = [(rng.randrange(-50, 50), member) for member in members]

        def effect(v):
            v = Scores() if v is None else v
            before = len(v)
            v.update((member, score) for score, member in pairs)
            return len(v) - before, v

        return (name, key, *[part for pair in pairs for part in pair]), Scores, effect
    if name == "ZREM":

        def effect(v):
            return sum(1 for member in members if v is not None and v.pop(member, None) is not None), v

        return (name, key, *members), Scores, effect
    if name == "ZSCORE":

        def effect(v):
            return (b"%d" % v[members[0]] if v is not None and members[0] in v else None), v

        return (name, key, members[0]), Scores, effect
    if name == "ZRANK":

        def effect(v):
            names = [member for member, _ in v.ordered()] if v is not None else []
            return (names.index(members[0]) if members[0] in names else None), v

        return (name, key, members[0]), Scores, effect
    if name == "ZRANGE":

        def effect(v):
            found = v.ordered()[span(len(v), a, b)] if v is not None else []
            return [part for member, score in found for part in (member, b"%d" % score)], v

        return (name, key, a, b, "WITHSCORES"), Scores, effect
    if name == "ZCARD":
        return (name, key), Scores, lambda v: (len(v or ()), v)
    if name == "ZINCRBY":

        def effect(v):
            v = Scores() if v is None else v
            v[members[0]] = v.get(members[0], 0) + a
            return b"%d" % v[members[0]], v

        return (name, key, a, members[0]), Scores, effect
    if name == "ZCOUNT":
        return (name, key, a, f"({b}"), Scores, lambda v: (sum(1 for score in (v or {}).values() if a <= score < b), v)
    if name == "ZPOPMIN":

        def effect(v):
            if v is None:
                return [], v
            member, score = v.ordered()[0]
            del v[member]
            return [member, b"%d" % score], v

        return (name, key), Scores, effect

    def drop_ranks(v):
        gone = v.ordered()[span(len(v), a, b)] if v is not None else []
        for member, _ in gone:
            del v[member]
        return len(gone), v

    return (name, key, a, b), Scores, drop_ranks


def stream_operation(rng: random.Random, key: bytes):
    name = rng.choice(("XADD", "XADD", "XADD", "XLEN", "XRANGE", "XREVRANGE", "XTRIM", "XDEL"))
    number, fields, count = rng.randrange(1, 300), [word(rng), word(rng)], rng.randrange(1, 30)
    if name == "XADD":

        def effect(v):
            v = Log() if v is None else v
            if number <= v.last:
                return Refusal(b"ERR The ID specified in XADD is equal or smaller than the target stream top item"), v
            v.entries.append((b"%d-0" % number, fields))
            v.last = number
            return b"%d-0" % number, v

        return (name, key, f"{number}-0", *fields), Log, effect
    if name == "XLEN":
        return (name, key), Log, lambda v: (len(v.entries) if v is not None else 0, v)
    if name in ("XRANGE", "XREVRANGE"):
        backwards = name == "XREVRANGE"

        def effect(v):
            entries = v.entries if v is not None else []
            return [[i, f] for i, f in (entries[::-1] if backwards else entries)[:count]], v

        return (name, key, *("+-" if backwards else "-+"), "COUNT", count), Log, effect
    if name == "XTRIM":

        def effect(v):
            if v is None:
                return 0, v
            gone = max(0, len(v.entries) - count)
            v.entries = v.entries[gone:]
            return gone, v

        return (name, key, "MAXLEN", "=", count), Log, effect

    def delete(v):
        if v is None:
            return 0, v
        before = len(v.entries)
        v.entries = [entry for entry in v.entries if entry[0] != b"%d-0" % number]
        return before - len(v.entries), v

    return (name, key, f"{number}-0"), Log, delete


def any_operation(rng: random.Random, key: bytes):
    name = rng.choice(("EXISTS", "TYPE", "DEL"))
    if name == "DEL":
        return (name, key), object, lambda v: (int(v is not None), None)
    if name == "EXISTS":
        return (name, key), object, lambda v: (int(v is not None), v)
    return (name, key), object, lambda v: (b"none" if v is None else TYPE_NAMES[type(v)], v)


FAMILIES = (string_operation, list_operation, hash_operation, set_operation, sorted_set_operation, stream_operation)


def size(value) -> int:
    if isinstance(value, Log):
        return len(value.entries)
    return 0 if value is None else len(value)


def choose(rng: random.Random, keys: list, value_of):
    """Return an operation on one of the keys: mostly one its name's type answers, now and then any other."""
    index = rng.randrange(len(keys))
    key = keys[index]
    value = value_of(key)
    dice = rng.random()
    if size(value) > (MAX_STRING if isinstance(value, bytes) else MAX_ELEMENTS):
        return key, ((b"DEL", key), object, lambda v: (1, None))
    if dice < 0.06:
        return key, any_operation(rng, key)
    family = FAMILIES[index % len(FAMILIES)] if dice < 0.95 else rng.choice(FAMILIES)
    return key, family(rng, key)
