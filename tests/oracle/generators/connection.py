"""The connection's own commands, and what is said about requests that are none.

AUTH with a wrong password is not here: a real server leaves its error out while earlier replies of the same
pipeline are still unsent.
"""

from __future__ import annotations

from tests.oracle.grammar import templates

OWN = b"s"
TEMPLATES = templates("""
    2 PING [value]
    0.3 PING value value
    2 ECHO value
    0.3 ECHO [value value]
    1 SELECT db
    1 CLIENT SETNAME (NAME|conn:1|x.y|member|with-dash|value)
    1 CLIENT GETNAME
    0.5 CLIENT ID
    0.3 CLIENT (junk|ID junk|SETNAME|GETNAME junk|NO-EVICT|NO-EVICT junk|NO-TOUCH junk|REPLY junk|KILL|SETINFO)
    0.5 CLIENT NO-EVICT (ON|OFF|on)
    0.5 CLIENT SETINFO (LIB-NAME|LIB-VER|LiB-NaMe|junk) (REDIS-PY|1.2.3|member|value)
    0.5 CLIENT NO-TOUCH (ON|OFF)
    0.5 CLIENT KILL (127.0.0.1:1|ID 999999999|ID junk|ID 0|TYPE junk|USER NOBODY|SKIPME junk|MAXAGE junk|ADDR 1.2.3.4:5)
    0.3 CLIENT KILL (ID|ID 99999999 TYPE|LADDR 1.2.3.4:5 SKIPME yes|ID 99999999 SKIPME no|TYPE pubsub ID 99999999)
    0.3 CLIENT LIST (ID junk|TYPE junk|junk|ID|TYPE|ID 99999999|TYPE pubsub|ID 0)
    0.3 CLIENT (GETREDIR|TRACKINGINFO|CACHING YES|UNPAUSE|UNBLOCK 99999999|UNBLOCK junk|UNBLOCK 99999999 junk)
    0.3 CLIENT PAUSE (junk|-1|0|1 junk)
    0.3 HELLO [2|3|junk|4|0|-1|1]
    0.3 HELLO 3 (SETNAME NAME|SETNAME|AUTH default NOPASS|AUTH default|AUTH default a SETNAME b|junk|SETNAME value)
    0.2 HELLO 2 SETNAME (A|B)
    0.3 AUTH (value|default value|default a b|)
    0.3 RESET [junk]
    0.3 (NOSUCHCOMMAND|GET1|junk) value*
    0.2 junk
    0.2 ASKING
    0.3 READONLY
    0.3 READWRITE
    0.5 CLUSTER (INFO|NODES|SLOTS|MYID|KEYSLOT key|junk|COUNTKEYSINSLOT 1|RESET|SHARDS|LINKS|FORGET X|KEYSLOT)
    0.2 COMMAND COUNT junk
    0.3 LOLWUT VERSION junk
    0.3 DBSIZE [junk]
    0.2 TIME [junk]
    0.3 SWAPDB db db
    0.2 SHUTDOWN (junk|SAVE NOSAVE|NOW NOW junk|ABORT NOW)
    0.3 CONFIG (GET N1|GET|SET|SET N1 1|junk|SET maxmemory junk|SET databases 4|RESETSTAT junk)
    0.3 CONFIG GET (maxmemory|timeout|databases|hash-max-*|list-max-listpack-size|set-max-intset-entries)
    0.3 CONFIG SET (timeout 0 timeout 1|timeout -1|timeout junk|maxclients 0|list-max-listpack-size junk|timeout 0)
    0.2 DEBUG (junk|SLEEP|STRINGMATCH-LEN|OBJECT missing|OBJECT|JMAP)
    0.2 DEBUG PROTOCOL (STRING|INTEGER|DOUBLE|NULL|ARRAY|SET|MAP|VERBATIM|TRUE|FALSE|BIGNUM|junk)
    0.1 DEBUG ERROR member
    0.2 LATENCY (junk|RESET|LATEST|HISTORY command)
    0.2 SLOWLOG (junk|GET junk|GET -2|LEN junk)
    0.2 MEMORY (junk|USAGE|DOCTOR junk)
    0.2 WAIT (junk|0|0 0|-1 0|0 junk|0 -1)
""")
