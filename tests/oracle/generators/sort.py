"""SORT over lists, sets and sorted sets, with weights and values from other keys."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"l"
TEMPLATES = templates("""
    2 RPUSH key digits*
    1 RPUSH key member*
    0.5 RPUSH key value*
    1 SADD anykey (1|2|3|10)*
    1 ZADD anykey (float (1|2|3))*
    1 SET (s1|s2|s3|s-7) float
    0.5 HSET (h1|h2|h3) (f1 float)*
    1 SORT key
    3 SORT key [BY weightpattern] [LIMIT index index] [GET getpattern]* [ASC|DESC] [ALPHA]
    2 SORT anykey [BY weightpattern] [LIMIT index index] [GET getpattern]* [ASC|DESC] ALPHA
    1 SORT key [BY weightpattern] [LIMIT index index] [GET getpattern]* [ASC|DESC] STORE key
    1 SORT key [LIMIT index index] [GET getpattern]* [ASC|DESC] ALPHA STORE key
    1 SORT_RO key [BY weightpattern] [LIMIT index index] [GET getpattern]* [ASC|DESC] [ALPHA]
    0.3 SORT key (LIMIT 0|BY|GET|STORE|junk|LIMIT junk 1)
    0.2 SORT_RO key STORE key
    1 LRANGE key 0 -1
    0.5 DEL key
    0.5 LTRIM key 0 20
""")
