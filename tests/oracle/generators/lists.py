"""Lists. The blocking ones wait for hundredths of a second at most."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"l"
TEMPLATES = templates("""
    3 RPUSH key (member|value)*
    3 LPUSH key (member|value)*
    1 RPUSHX key member*
    1 LPUSHX key member*
    1.5 LPOP key [n]
    1.5 RPOP key [n]
    1 LLEN key
    2 LRANGE key index index
    1.5 LINDEX key index
    1 LSET key index value
    1 LTRIM key index index
    0.5 LTRIM key 0 (5|10|20)
    1.5 LREM key (0|1|2|-1|-2|int) member
    1.5 LINSERT key (BEFORE|AFTER|before|junk) member value
    2 LPOS key member [RANK index] [COUNT n] [MAXLEN n]
    0.3 LPOS key member (RANK 0|RANK -9223372036854775808|COUNT -1|MAXLEN -1|COUNT|junk 1)
    1.5 LMOVE key key (LEFT|RIGHT) (LEFT|RIGHT)
    0.2 LMOVE key key (LEFT|junk) (junk|RIGHT)
    1 RPOPLPUSH key key
    1 LMPOP (1 key|2 key key|3 key key key) (LEFT|RIGHT) [COUNT n]
    0.3 LMPOP (0 key LEFT|junk key LEFT|3 key LEFT|1 key junk|1 key LEFT COUNT|1 key LEFT COUNT 1 COUNT 1|-1 key LEFT)
    0.03 BLPOP key* 0.01
    0.03 BRPOP key* 0.01
    0.03 BLMOVE key key (LEFT|RIGHT) (LEFT|RIGHT) 0.01
    0.03 BRPOPLPUSH key key 0.01
    0.03 BLMPOP 0.01 2 key key (LEFT|RIGHT) [COUNT pos]
    0.2 BLPOP key (abc|-1|nan|inf|1e300|99999999999999999)
    0.1 BLMPOP (abc|-1) 1 key LEFT
    1 OBJECT ENCODING key
    0.3 DEL key
    0.5 SORT key [ALPHA] [DESC]
""")
