"""Streams and consumer groups. IDs grow of themselves (`newid`) where an entry is meant to be added.

XADD with `*` is left out, since two clocks never agree. Idle times are either far above what a run lasts or zero.
"""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"x"
TEMPLATES = templates("""
    8 XADD key newid (member value)*
    5 XADD key newid f value
    2 XADD key newid temperature int unit (C|F)
    2 XADD key [NOMKSTREAM] [(MAXLEN|maxlen) [~|=] n] streamid (member value)*
    1 XADD key (MAXLEN|MINID) (~|=) n [LIMIT n] newid (member value)*
    1 XADD key MINID [~|=] oldid newid member value
    0.3 XADD key (MAXLEN|MAXLEN ~|LIMIT 5|MAXLEN 5 MINID 5|MAXLEN ~ 5 LIMIT -1|MAXLEN x|MAXLEN -1|MINID x) newid a b
    0.3 XADD key newid (a|a b c|)
    0.2 XADD key 18446744073709551615-18446744073709551615 a b ; DEL samekey
    1 XLEN key
    3 XRANGE key (-|oldid|streambound) (+|oldid|streambound) [COUNT n]
    2 XREVRANGE key (+|oldid|streambound) (-|oldid|streambound) [COUNT n]
    0.2 XRANGE key - + (COUNT|junk|COUNT 1 COUNT 2|COUNT 1 junk)
    3 XDEL key (oldid|streamid)*
    2 XTRIM key (MAXLEN|MINID) [~|=] (n|oldid|streamid) [LIMIT n]
    1 XTRIM key MAXLEN [~] (20|50|100|150)
    0.3 XTRIM key (MAXLEN|MAXLEN ~|LIMIT 5|MAXLEN 5 MAXLEN 5|MAXLEN = 5 LIMIT 1|junk 5|MAXLEN 5 junk)
    0.7 XSETID key (newid|oldid|streamid) [ENTRIESADDED n] [MAXDELETEDID oldid]
    0.2 XSETID key (newid|oldid) (ENTRIESADDED|MAXDELETEDID|junk|ENTRIESADDED x|MAXDELETEDID x|ENTRIESADDED 1 ENTRIESADDED 2)
    3 XGROUP CREATE key group (0|oldid|$|streamid) [MKSTREAM] [ENTRIESREAD n]
    0.2 XGROUP CREATE key group $ (junk|ENTRIESREAD|ENTRIESREAD -5|ENTRIESREAD x|MKSTREAM MKSTREAM)
    1 XGROUP SETID key group (0|$|oldid|streamid) [ENTRIESREAD n]
    0.2 XGROUP SETID key group $ (junk|MKSTREAM|ENTRIESREAD|ENTRIESREAD -5)
    0.7 XGROUP CREATECONSUMER key group consumer
    0.7 XGROUP DELCONSUMER key group consumer
    0.5 XGROUP DESTROY key group
    0.1 XGROUP (HELP|junk|CREATE|CREATE key|DESTROY key|SETID key group)
    9 XREADGROUP GROUP group consumer [COUNT n] [NOACK] STREAMS key >
    2 XREADGROUP GROUP group consumer [COUNT n] STREAMS key (0|oldid|streamid|$|+)
    1 XREADGROUP GROUP group consumer [COUNT n] [BLOCK 10] [NOACK] STREAMS key key (>|0) (>|oldid)
    0.2 XREADGROUP (STREAMS key >|GROUP group|GROUP group consumer STREAMS key|GROUP group consumer junk STREAMS key >)
    2 XREAD [COUNT n] STREAMS key (0|oldid|streamid|$|+|>)
    1 XREAD [COUNT n] STREAMS key key (0|oldid|+) (0|oldid|+)
    0.5 XREAD BLOCK 10 STREAMS key key (0|$|+|oldid) ($|+|oldid)
    0.2 XREAD (BLOCK x|BLOCK -1|COUNT x|COUNT|NOACK|GROUP g c|junk|BLOCK 92233720368547758070) STREAMS key 0
    0.2 XREAD (STREAMS key|STREAMS|STREAMS key key 0|COUNT 5 key 0)
    5 XACK key group (oldid|streamid)*
    3 XPENDING key group
    3 XPENDING key group [IDLE (0|100000|500000000)] (-|oldid|streambound) (+|oldid|streambound) n [consumer]
    0.2 XPENDING key group (IDLE|- +|IDLE 5 - +|IDLE x - + 5|- + x|- + 5 alice junk junk junk|x y 5)
    3 XCLAIM key group consumer (0|100000) oldid* [IDLE (0|1000000)] [RETRYCOUNT n] [FORCE] [JUSTID] [LASTID oldid]
    1 XCLAIM key group consumer 0 (oldid|streamid)* [TIME (1|1000000000000|-5|99999999999999)] [FORCE] [JUSTID]
    0.3 XCLAIM key group consumer (0|x|-1) oldid* (junk|IDLE x|TIME x|RETRYCOUNT x|LASTID x|IDLE|LASTID|RETRYCOUNT -2)
    2 XAUTOCLAIM key group consumer (0|100000) (0|-|oldid|streambound) [COUNT pos] [JUSTID]
    0.3 XAUTOCLAIM key group consumer (0|x|-1) (0|x|+) (COUNT 0|COUNT x|COUNT|junk|COUNT 999999999999999999|JUSTID JUSTID)
    3 XINFO STREAM key
    3 XINFO STREAM key FULL [COUNT n]
    0.2 XINFO STREAM key (junk|FULL COUNT|FULL junk 5|FULL COUNT x|FULL FULL FULL FULL)
    3 XINFO GROUPS key
    2 XINFO CONSUMERS key group
    0.1 XINFO (HELP|junk|STREAM|GROUPS|CONSUMERS key)
    0.4 DEL key
    0.3 COPY key key REPLACE
    0.3 RENAME key key
    0.3 OBJECT ENCODING key
    0.3 TYPE key
""")
