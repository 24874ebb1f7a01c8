"""What can happen to a key: Redis's keyspace events by name and class.

Storage states these facts through `Database.changed`; who hears of them (notifications, watchers, replicas) is not its
business. A class is one letter of `notify-keyspace-events`.
"""

from __future__ import annotations


class Event:
    """A kind of change: the name subscribers see and its class letter.

    One that does not touch is announced and logged, but breaks no WATCH and invalidates no client's cache: the value
    is the same for who reads it. One that does not wake is no news to who waits for the key, either.
    """

    __slots__ = ("name", "letter", "touches", "wakes")

    def __init__(self, name: bytes, letter: str, touches: bool = True, wakes: bool | None = None) -> None:
        self.name = name
        self.letter = letter
        self.touches = touches
        self.wakes = touches if wakes is None else wakes

    def __repr__(self) -> str:
        return "Event(%r, %r)" % (self.name, self.letter)


DEL = Event(b"del", "g")
EXPIRE = Event(b"expire", "g")
PERSIST = Event(b"persist", "g")
RENAME_FROM = Event(b"rename_from", "g")
RENAME_TO = Event(b"rename_to", "g")
MOVE_FROM = Event(b"move_from", "g")
MOVE_TO = Event(b"move_to", "g")
COPY_TO = Event(b"copy_to", "g")
RESTORE = Event(b"restore", "g")

SET = Event(b"set", "$")
SETRANGE = Event(b"setrange", "$")
APPEND = Event(b"append", "$")
INCRBY = Event(b"incrby", "$")
INCRBYFLOAT = Event(b"incrbyfloat", "$")
SETBIT = Event(b"setbit", "$")
PFADD = Event(b"pfadd", "$")

LPUSH = Event(b"lpush", "l")
RPUSH = Event(b"rpush", "l")
LPOP = Event(b"lpop", "l")
RPOP = Event(b"rpop", "l")
LINSERT = Event(b"linsert", "l")
LSET = Event(b"lset", "l")
LREM = Event(b"lrem", "l")
LTRIM = Event(b"ltrim", "l")
SORTSTORE = Event(b"sortstore", "l")

SADD = Event(b"sadd", "s")
SREM = Event(b"srem", "s")
SPOP = Event(b"spop", "s")
SINTERSTORE = Event(b"sinterstore", "s")
SUNIONSTORE = Event(b"sunionstore", "s")
SDIFFSTORE = Event(b"sdiffstore", "s")

HSET = Event(b"hset", "h")
HDEL = Event(b"hdel", "h")
HINCRBY = Event(b"hincrby", "h")
HINCRBYFLOAT = Event(b"hincrbyfloat", "h")
HEXPIRE = Event(b"hexpire", "h")
HEXPIRED = Event(b"hexpired", "h")
HPERSIST = Event(b"hpersist", "h")

ZADD = Event(b"zadd", "z")
ZINCR = Event(b"zincr", "z")
ZREM = Event(b"zrem", "z")
ZREMRANGEBYRANK = Event(b"zremrangebyrank", "z")
ZREMRANGEBYSCORE = Event(b"zremrangebyscore", "z")
ZREMRANGEBYLEX = Event(b"zremrangebylex", "z")
ZPOPMIN = Event(b"zpopmin", "z")
ZPOPMAX = Event(b"zpopmax", "z")
ZINTERSTORE = Event(b"zinterstore", "z")
ZUNIONSTORE = Event(b"zunionstore", "z")
ZDIFFSTORE = Event(b"zdiffstore", "z")
ZRANGESTORE = Event(b"zrangestore", "z")
GEORADIUSSTORE = Event(b"georadiusstore", "z")
GEOSEARCHSTORE = Event(b"geosearchstore", "z")

XADD = Event(b"xadd", "t")
XTRIM = Event(b"xtrim", "t")
XDEL = Event(b"xdel", "t")
XSETID = Event(b"xsetid", "t", touches=False)
XGROUP_CREATE = Event(b"xgroup-create", "t", touches=False)
XGROUP_CREATECONSUMER = Event(b"xgroup-createconsumer", "t", touches=False)
XGROUP_DELCONSUMER = Event(b"xgroup-delconsumer", "t", touches=False)
XGROUP_DESTROY = Event(b"xgroup-destroy", "t", touches=False, wakes=True)
XGROUP_SETID = Event(b"xgroup-setid", "t", touches=False)

EXPIRED = Event(b"expired", "x")

EVICTED = Event(b"evicted", "e")

NEW = Event(b"new", "n", touches=False)

KEYMISS = Event(b"keymiss", "m", touches=False)

# Facts that belong to no single key; they have no class and nobody subscribes to them.
FLUSHED = Event(b"flushdb", "")
SWAPPED = Event(b"swapdb", "")

# A change of a key that Redis announces to no subscriber: PFCOUNT keeping its estimate. Still marks WATCH and the log.
UNANNOUNCED = Event(b"", "")

# Nothing that anybody hears of: only counted and logged.
LOGGED = Event(b"", "", touches=False)
