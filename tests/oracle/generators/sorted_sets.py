"""Sorted sets.

Ranges of names ask zx, whose scores are all the same, and zw, which stays so small that it is searched from one end:
in a large set of different scores the answer depends on the levels that a skip list drew.
"""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"z"
TEMPLATES = templates("""
    5 ZADD key (float member)*
    2 ZADD key [NX|XX|GT|LT|XX GT|XX LT] [CH] (float member)*
    1 ZADD key [NX|XX|GT|LT] [CH] INCR float member
    0.3 ZADD key (NX XX|GT LT|NX GT|INCR CH XX) (float member)*
    0.3 ZADD key (float|float member float|INCR float member float member|junk)
    1.5 ZINCRBY key float member
    1 ZCARD key
    1.5 ZSCORE key member
    1 ZMSCORE key member*
    1.5 ZRANK key member [WITHSCORE]
    1 ZREVRANK key member [WITHSCORE]
    0.2 ZRANK key member (junk|WITHSCORE junk)
    1.5 ZREM key member*
    1 ZCOUNT key scorebound scorebound
    1.5 ZADD zx (0 member)*
    0.5 ZADD zw (float (a|b|c|d|e|aa|10))*
    0.3 ZREM (zx|zw) member
    0.05 (DEL zx|SADD zx a)
    1 ZLEXCOUNT (zx|zw) lexbound lexbound
    1.5 ZRANGE key index index [REV] [WITHSCORES]
    1.5 ZRANGE key scorebound scorebound BYSCORE [REV] [LIMIT index index] [WITHSCORES]
    1 ZRANGE (zx|zw) lexbound lexbound BYLEX [REV] [LIMIT index index]
    0.3 ZRANGE key 0 -1 (LIMIT 0 1|BYLEX WITHSCORES|junk|BYSCORE LIMIT|BYSCORE BYLEX|LIMIT 0)
    1 ZRANGESTORE key key index index [REV]
    1 ZRANGESTORE key key scorebound scorebound BYSCORE [REV] [LIMIT index index]
    0.5 ZRANGESTORE key (zx|zw) lexbound lexbound BYLEX [REV] [LIMIT index index]
    0.2 ZRANGESTORE key key 0 -1 (WITHSCORES|LIMIT 0 1|junk)
    1 ZREVRANGE key index index [WITHSCORES]
    1 ZRANGEBYSCORE key scorebound scorebound [WITHSCORES] [LIMIT index index]
    1 ZREVRANGEBYSCORE key scorebound scorebound [WITHSCORES] [LIMIT index index]
    1 ZRANGEBYLEX (zx|zw) lexbound lexbound [LIMIT index index]
    1 ZREVRANGEBYLEX (zx|zw) lexbound lexbound [LIMIT index index]
    0.5 ZREMRANGEBYRANK key index index
    0.5 ZREMRANGEBYSCORE key scorebound scorebound
    0.5 ZREMRANGEBYLEX (zx|zw) lexbound lexbound
    1 ZPOPMIN key [n]
    1 ZPOPMAX key [n]
    1 ZMPOP (1 key|2 key key) (MIN|MAX) [COUNT n]
    0.3 ZMPOP (0 key MIN|junk key MIN|3 key MIN|1 key junk|1 key MIN COUNT|1 key MIN COUNT 1 COUNT 1)
    0.03 BZPOPMIN key* 0.01
    0.03 BZPOPMAX key* 0.01
    0.03 BZMPOP 0.01 2 key key (MIN|MAX) [COUNT pos]
    0.2 BZPOPMIN key (abc|-1|nan)
    1 ZUNION 2 key key [WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
    1 ZINTER 2 key key [WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
    1 ZDIFF (1 key|2 key key|3 key key key) [WITHSCORES]
    1 ZUNIONSTORE key 2 key anykey [WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)]
    1 ZINTERSTORE key 2 key key [WEIGHTS float float] [AGGREGATE (SUM|MIN|MAX)]
    1 ZDIFFSTORE key 2 key key
    0.5 ZUNIONSTORE key 3 key key key
    0.5 ZINTERCARD (1 key|2 key key) [LIMIT n]
    0.3 ZUNIONSTORE key (0 key|junk key|3 key|2 key key WEIGHTS 1|2 key key AGGREGATE junk|2 key key junk|-1 key)
    0.3 ZINTER (0 key|junk key|3 key|2 key key WEIGHTS 1|2 key key AGGREGATE junk|2 key key junk|2 key key WEIGHTS a b)
    0.2 ZINTERCARD (0 key|1 key LIMIT -1|1 key LIMIT|1 key junk|1 key LIMIT junk)
    0.5 ZRANDMEMBER key [(1|2|-3|0|100) [WITHSCORES]]
    0.2 ZRANDMEMBER key (junk|1 junk|-9223372036854775808|9223372036854775807 WITHSCORES)
    1 ZSCAN key 0 COUNT 100000 [MATCH pattern]
    1 OBJECT ENCODING key
    0.1 DEL key
    0.3 SADD anykey member*
""")
