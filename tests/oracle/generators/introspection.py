"""What the server says about its commands."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"s"
TEMPLATES = templates("""
    2 COMMAND GETKEYS (GET key|MSET key value key value|SET key value|DEL key key key|MGET key key)
    1 COMMAND GETKEYS (SORT key STORE key|ZUNIONSTORE key 2 key key|EVAL script 1 key|XREAD STREAMS key 0|COPY key key)
    1 COMMAND GETKEYS (PING|junk|GET|ZUNIONSTORE key junk key|LMPOP 2 key key LEFT|OBJECT ENCODING key|BITOP AND key key)
    1 COMMAND GETKEYSANDFLAGS (GET key|MSET key value key value|SET key value|GETDEL key|LMOVE key key LEFT LEFT)
    0.5 COMMAND GETKEYSANDFLAGS (SORT key STORE key|ZUNIONSTORE key 2 key key|PING|junk|RENAME key key)
    0.5 COMMAND LIST FILTERBY (PATTERN xrea*|ACLCAT nonsense|MODULE nothing|junk x|PATTERN)
    0.3 COMMAND (junk|GETKEYS|GETKEYSANDFLAGS|LIST junk|LIST FILTERBY|COUNT junk)
    0.5 COMMAND INFO junk
    0.5 COMMAND DOCS junk
    1 SET key value
""")
