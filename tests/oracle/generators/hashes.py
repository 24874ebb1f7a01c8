"""Hashes and the deadlines of their fields."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"h"
TEMPLATES = templates("""
    4 HSET key (member value)*
    1 HMSET key (member value)*
    0.3 HSET key (member value)* member
    1 HSETNX key member value
    3 HGET key member
    2 HMGET key member*
    2 HGETALL key
    1 HKEYS key
    1 HVALS key
    1 HLEN key
    1 HSTRLEN key member
    1 HEXISTS key member
    2 HDEL key member*
    2 HINCRBY key member int
    2 HINCRBYFLOAT key member float
    1 HSET key member digits
    1 HRANDFIELD key [(1|2|-3|0|100) [WITHVALUES]]
    0.2 HRANDFIELD key (1 junk|junk|-9223372036854775808|9223372036854775807 WITHVALUES)
    1 HSCAN key 0 COUNT 100000 [MATCH pattern]
    0.3 HSCAN key 0 COUNT 100000 NOVALUES
    0.2 HSCAN key (abc|0 COUNT 0|0 junk|0 MATCH)
    1 OBJECT ENCODING key
    0.2 DEL key
    1 HEXPIRE key seconds [NX|XX|GT|LT] FIELDS 1 member
    1 HEXPIRE key seconds [NX|XX|GT|LT] FIELDS 2 member member
    1 HPEXPIRE key millis [NX|XX|GT|LT] FIELDS 1 member
    1 HEXPIREAT key epoch [NX|XX|GT|LT] FIELDS 1 member
    1 HPEXPIREAT key epochms [NX|XX|GT|LT] FIELDS 2 member member
    0.3 HEXPIRE key seconds (FIELDS 2 member|FIELDS 0 member|FIELDS junk member|NX XX FIELDS 1 member|junk|FIELDS 1)
    1 HTTL key FIELDS 2 member member
    1 HPTTL key FIELDS 1 member
    1 HEXPIRETIME key FIELDS 1 member
    1 HPEXPIRETIME key FIELDS 2 member member
    1 HPERSIST key FIELDS 2 member member
    0.3 HTTL key (FIELDS 2 member|FIELDS 0 member|FIELDS junk member|junk 1 member|FIELDS 1)
    0.3 HPERSIST key (FIELDS 2 member|FIELDS 0 member|FIELDS junk member|junk 1 member|FIELDS 1)
""")
