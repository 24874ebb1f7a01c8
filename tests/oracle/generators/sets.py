"""Sets."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"S"
TEMPLATES = templates("""
    3 SADD key member*
    2 SADD key digits*
    0.5 SADD key value*
    1.5 SREM key (member|digits)*
    1 SCARD key
    1 SISMEMBER key (member|digits)
    1 SMISMEMBER key (member|digits)*
    2 SMEMBERS key
    1 SMOVE key key member
    2 SINTER key*
    2 SUNION key*
    2 SDIFF key*
    1 SINTERSTORE key key*
    1 SUNIONSTORE key key*
    1 SDIFFSTORE key key*
    1 SINTERCARD (1 key|2 key key|3 key key key) [LIMIT n]
    0.3 SINTERCARD (0 key|junk key|3 key|-1 key|1 key LIMIT -1|1 key LIMIT|1 key junk 1|2 key key LIMIT junk)
    0.5 SPOP key ; DEL samekey
    0.3 SPOP key pos ; DEL samekey
    0.5 SPOP key 1000
    0.2 SPOP key (0|-1|junk)
    1 SRANDMEMBER key [1|2|-3|0|100]
    0.2 SRANDMEMBER key (junk|-9223372036854775808|1 junk)
    1 SSCAN key 0 COUNT 100000 [MATCH pattern]
    0.2 SSCAN key (abc|0 COUNT 0|0 junk|0 MATCH)
    1 OBJECT ENCODING key
    0.2 DEL key
""")
