"""Keys of any type, their names and their deadlines."""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"s"
TEMPLATES = templates("""
    2 SET anykey value
    1.5 DEL anykey*
    1 UNLINK anykey*
    1 EXISTS anykey*
    1 TOUCH anykey*
    2 TYPE anykey
    2 RENAME anykey anykey
    1 RENAMENX anykey anykey
    2 COPY anykey anykey [DB db] [REPLACE]
    0.3 COPY anykey anykey (DB|REPLACE junk|DB db DB db|junk)
    1 MOVE anykey db
    2 EXPIRE anykey seconds [NX|XX|GT|LT]
    1 PEXPIRE anykey millis [NX|XX|GT|LT]
    1 EXPIREAT anykey epoch [NX|XX|GT|LT]
    1 PEXPIREAT anykey epochms [NX|XX|GT|LT]
    0.3 EXPIRE anykey seconds (NX XX|GT LT|NX GT|XX GT|XX LT|junk|)
    1 PERSIST anykey
    2 TTL anykey
    1 PTTL anykey
    1 EXPIRETIME anykey
    1 PEXPIRETIME anykey
    1 KEYS pattern
    0.3 RANDOMKEY
    0.7 DBSIZE
    1 SCAN 0 COUNT 100000 [MATCH pattern] [TYPE (string|list|hash|set|zset|stream|nonsense)]
    0.2 SCAN (abc|0 junk|0 COUNT 0|0 COUNT junk|0 MATCH|99999999999999999999|0 TYPE)
    1.5 OBJECT ENCODING anykey
    0.3 OBJECT IDLETIME anykey
    0.3 OBJECT FREQ anykey
    0.1 OBJECT (HELP|junk|ENCODING|ENCODING anykey anykey|REFCOUNT)
    0.5 SELECT db
    0.2 SWAPDB db db
    0.1 FLUSHDB [ASYNC|SYNC|junk]
    0.05 FLUSHALL [ASYNC|SYNC|junk]
    0.3 MEMORY USAGE anykey [SAMPLES n]
    0.1 MEMORY (USAGE|junk|USAGE anykey SAMPLES|USAGE anykey junk)
    1 OBJECT ENCODING anykey
    0.5 DEBUG DIGEST-VALUE anykey*
    0.2 DEBUG DIGEST
""")
