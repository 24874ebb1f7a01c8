"""Strings."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"s"
TEMPLATES = templates("""
    3 SET key value
    3 SET key value [NX|XX] [GET] [EX seconds|PX millis|EXAT epoch|PXAT epochms|KEEPTTL]
    1 SET key digits
    0.5 SET key value (NX XX|EX seconds PX millis|KEEPTTL EX seconds|GET GET|nx get|EX|PXAT|junk)
    3 GET key
    1 GETDEL key
    1 GETSET key value
    1.5 GETEX key [EX seconds|PX millis|EXAT epoch|PXAT epochms|PERSIST]
    0.3 GETEX key (EX seconds PERSIST|PERSIST PERSIST|NX|EX|junk)
    2 APPEND key value
    1 STRLEN key
    1.5 GETRANGE key index index
    0.5 SUBSTR key index index
    1.5 SETRANGE key offset value
    2 INCR key
    2 DECR key
    2 INCRBY key int
    2 DECRBY key int
    3 INCRBYFLOAT key float
    2 MGET key*
    1 MSET (key value)*
    1 MSETNX (key value)*
    0.2 MSET (key value)* key
    1 SETNX key value
    1 SETEX key seconds value
    1 PSETEX key millis value
    1 LCS key key [LEN|IDX] [MINMATCHLEN n] [WITHMATCHLEN]
    0.3 LCS key key (LEN IDX|MINMATCHLEN|junk)
    1 OBJECT ENCODING key
    0.5 DEL key
""")
