"""Several connections at once: messages, invalidations, notifications and replies in the order of a real server."""

from __future__ import annotations

import pytest

from tests.harness import processes
from tests.oracle.stage import compare

PLAYS = {
    "subscribers of both protocols": """
        s: SUBSCRIBE a b a
        t3: SUBSCRIBE a
        t3: PSUBSCRIBE x* [ab]
        p: PUBLISH a 1
        p: PUBLISH none 2
        t3: PUBLISH a mine
        t3: GET nokey
        s: GET nokey
        s: PING
        s: PING x
        t3: PING
        s: PUBLISH a 1
        s: SUBSCRIBE
        s: PSUBSCRIBE a*
        p: PUBLISH a twice
        p: PUBSUB CHANNELS
        p: PUBSUB NUMSUB a b none
        p: PUBSUB NUMPAT
        p: PUBSUB NUMSUB
        p: PUBSUB CHANNELS b*
        s: UNSUBSCRIBE none a
        s: UNSUBSCRIBE
        s: UNSUBSCRIBE
        p: PUBLISH a pattern
        s: PUNSUBSCRIBE
        s: PUNSUBSCRIBE
        s: GET nokey
        t3: UNSUBSCRIBE
        t3: PUNSUBSCRIBE a
        t3: PUNSUBSCRIBE
        t3: PUNSUBSCRIBE
        p: PUBSUB NUMPAT
    """,
    "shard channels": """
        s: SSUBSCRIBE a b
        t3: SSUBSCRIBE a
        s: SUBSCRIBE c
        p: SPUBLISH a 1
        p: PUBLISH a 2
        p: SPUBLISH c 3
        p: PUBSUB SHARDCHANNELS
        p: PUBSUB SHARDNUMSUB a b c
        p: PUBSUB SHARDCHANNELS x*
        s: SUNSUBSCRIBE a
        s: UNSUBSCRIBE
        s: GET nokey
        s: SUNSUBSCRIBE
        s: SUNSUBSCRIBE
        s: GET nokey
        t3: SUNSUBSCRIBE
    """,
    "subscribing in a transaction and leaving by RESET": """
        s: MULTI
        s: SUBSCRIBE a
        s: PUBLISH a 1
        s: SET k 1
        s: EXEC
        s: PUBLISH a 1
        s: RESET
        s: GET k
        t3: MULTI
        t3: SUBSCRIBE a
        t3: PUBLISH a 2
        t3: GET k
        t3: UNSUBSCRIBE a
        t3: EXEC
        t3: MULTI
        t3: SUBSCRIBE b
        t3: EXEC
        t3: PUBLISH b both
        t3: HELLO 2
        t3: GET k
        t3: HELLO 3
        t3: GET k
        p: PUBSUB CHANNELS
        t3: RESET
        p: PUBSUB CHANNELS
        p: PUBLISH b 3
    """,
    "a transaction that somebody else breaks": """
        a: WATCH k l
        b: SET k 1
        a: MULTI
        a: SET k 2
        a: GET l
        a: EXEC
        a: EXEC
        a: WATCH k
        a: SET k 3
        a: MULTI
        a: GET k
        a: EXEC
        a: WATCH k
        b: GET k
        b: EXPIRE k 1000
        a: MULTI
        a: EXEC
        a: WATCH missing
        b: DEL missing
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH missing
        b: SELECT 1
        b: SET missing 1
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH k
        a: UNWATCH
        b: SELECT 0
        b: DEL k
        a: MULTI
        a: PING
        a: EXEC
        a: MULTI
        a: NOSUCH
        a: MULTI
        a: WATCH k
        a: EXEC
        a: DISCARD
        a: MULTI
        a: GET
        a: DISCARD
        a: MULTI
        a: SET k x
        a: INCR k
        a: LPUSH k y
        a: GET k
        a: EXEC
    """,
    "watching through flushes and swaps": """
        a: SET k 1
        a: WATCH k
        b: FLUSHALL
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH k
        b: FLUSHDB
        a: MULTI
        a: PING
        a: EXEC
        a: SET k 1
        a: WATCH k
        b: SWAPDB 0 1
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH none
        b: SWAPDB 0 1
        a: MULTI
        a: PING
        a: EXEC
        b: SELECT 1
        b: SET other 1
        a: WATCH other
        b: SWAPDB 0 1
        a: MULTI
        a: PING
        a: EXEC
        b: FLUSHALL
        a: SET k 1 PX 50
        a: WATCH k
        b: DEBUG SLEEP 0.06
        a: MULTI
        a: PING
        a: EXEC
        a: SET k 1 PX 1
        b: DEBUG SLEEP 0.005
        a: WATCH k
        a: MULTI
        a: PING
        a: EXEC
    """,
    "nothing blocks in a transaction": """
        a: MULTI
        a: BLPOP q 0
        a: BRPOP q 0
        a: BLMOVE q r LEFT LEFT 0
        a: BRPOPLPUSH q r 0
        a: BLMPOP 0 1 q LEFT
        a: BZPOPMIN z 0
        a: BZPOPMAX z 0
        a: BZMPOP 0 1 z MIN
        a: XREAD BLOCK 0 STREAMS x $
        a: WAIT 1 0
        a: EXEC
        a3: MULTI
        a3: BLPOP q 0
        a3: BZPOPMIN z 0
        a3: XREAD BLOCK 0 STREAMS x $
        a3: EXEC
    """,
    "waiters, served in the unit that wakes them": """
        n: CONFIG SET notify-keyspace-events KEA
        n: PSUBSCRIBE __key*
        w~: BLPOP q 0
        v~: BLMOVE q r LEFT RIGHT 0
        b: MULTI
        b: RPUSH q 1 2 3
        b: LPUSH other 1
        b: EXEC
        b: LRANGE r 0 -1
        w~: BLPOP q q2 0
        b: RPUSH q2 x
        b: DEL q
    """,
    "notifications of a transaction and of commands that touch two keys": """
        n: CONFIG SET notify-keyspace-events KEAnm
        n: PSUBSCRIBE __key*
        n3: PSUBSCRIBE __keyspace@0__:*
        b: MULTI
        b: SET a 1
        b: INCR a
        b: GET missing
        b: RENAME a b
        b: COPY b c
        b: SELECT 1
        b: SET d 1 EX 100
        b: EXEC
        b: SELECT 0
        b: RPUSH l 1 2 3
        b: LMOVE l m LEFT LEFT
        b: SADD s 1 2 3
        b: SINTERSTORE t s s
        b: SMOVE s t 1
        b: SINTERSTORE t s none
        b: MOVE c 1
        b: LPOP l 10
        b: ZADD z 1 a 2 b
        b: ZPOPMIN z 5
        b: HSET h f 1 g 2
        b: HDEL h f g
        b: SORT m STORE so
        b: SWAPDB 0 1
        b: FLUSHDB
        b: SELECT 1
        b: DEL b so
        b: UNLINK m
        n3: SET own 1
        n3: GET miss
        n: RESET
        n: CONFIG SET notify-keyspace-events ""
        b: SET a 1
    """,
    "classes of notifications": """
        n: PSUBSCRIBE __key*
        b: CONFIG SET notify-keyspace-events Kg
        b: CONFIG GET notify-keyspace-events
        b: SET a 1
        b: DEL a
        b: CONFIG SET notify-keyspace-events E$
        b: SET a 1
        b: DEL a
        b: CONFIG SET notify-keyspace-events A
        b: SET a 1
        b: CONFIG SET notify-keyspace-events KEx
        b: SET a 1 PX 1
        b: DEBUG SLEEP 0.005
        b: GET a
        b: CONFIG SET notify-keyspace-events KEnm
        b: GET a
        b: SET a 1
        b: SET a 1
        b: CONFIG SET notify-keyspace-events KElzsht
        b: RPUSH l 1
        b: ZADD z 1 a
        b: SADD s 1
        b: HSET h f 1
        b: XADD x 1-1 f v
        b: XGROUP CREATE x g $
        b: CONFIG SET notify-keyspace-events q
        b: CONFIG SET notify-keyspace-events ""
    """,
    "keys and fields that expire": """
        b: CONFIG SET notify-keyspace-events KEA
        n: PSUBSCRIBE __keyspace*
        t3: CLIENT TRACKING ON
        u3: CLIENT TRACKING ON BCAST
        u3: PSUBSCRIBE __keyspace*
        b: SET k v PX 50
        t3: GET k
        b: DEBUG SLEEP 0.06
        b: GET k
        b: SET k v PX 50
        b: SET l v PX 50
        t3: MGET k l
        b: DEBUG SLEEP 0.06
        b: MULTI
        b: SET k 2
        b: EXISTS l
        b: EXEC
        b: SET k v PX 1
        b: DEBUG SLEEP 0.005
        t3: GET k
        b: SET k again
    """,
    "tracking what was read": """
        t3: CLIENT TRACKING ON
        t3: CLIENT TRACKINGINFO
        t3: CLIENT GETREDIR
        t3: GET k
        b: SET k 1
        b: SET k 2
        t3: MGET k l m
        b: MSET k 1 l 2 m 3
        t3: GET k
        t3: SET k mine
        t3: GET k
        t3: MULTI
        t3: GET k
        t3: SET k x
        t3: GET l
        t3: EXEC
        b: SET l 1
        t3: HGETALL h
        b: HSET h f 1
        b: HSET h g 1
        t3: EXISTS none
        b: SELECT 1
        b: SET none 1
        b: FLUSHDB
        t3: GET k
        b: FLUSHALL
        b: FLUSHALL
        t3: FLUSHALL ASYNC
        b: MULTI
        b: FLUSHDB
        b: FLUSHALL
        b: EXEC
        t3: SUBSCRIBE c
        t3: GET k
        b: SELECT 0
        b: RENAME k2 k3
        b: SET k2 1
        t3: MGET k2 k3
        b: RENAME k2 k3
        t3: LRANGE list 0 -1
        b: RPUSH list 1
        t3: LRANGE list 0 -1
        b: LPOP list
        t3: CLIENT TRACKING OFF
        t3: GET k
        b: SET k 1
        t3: CLIENT TRACKINGINFO
        t3: CLIENT TRACKING ON
        b: SET k 1
        t3: GET k
        t3: RESET
        b: SET k 2
    """,
    "tracking by prefixes": """
        t3: CLIENT TRACKING ON BCAST PREFIX a PREFIX b
        t3: CLIENT TRACKINGINFO
        u3: CLIENT TRACKING ON BCAST NOLOOP
        b: SET a1 1
        b: SET c1 1
        b: MSET b2 1 a2 1 a1 1 c1 2
        u3: MSET a1 1 u1 1
        u3: INCR a1
        t3: SET a3 1
        t3: CLIENT TRACKING ON BCAST PREFIX ab
        t3: CLIENT TRACKING ON BCAST PREFIX c
        t3: CLIENT TRACKINGINFO
        t3: CLIENT TRACKING ON BCAST PREFIX x PREFIX xy
        t3: CLIENT TRACKING ON BCAST
        t3: CLIENT TRACKING ON
        t3: CLIENT TRACKING ON OPTIN BCAST
        t3: CLIENT TRACKING ON PREFIX a
        b: MULTI
        b: SET a1 1
        b: SET b1 1
        b: DEL a1
        b: EXEC
        b: FLUSHALL
        t3: CLIENT TRACKING OFF
        b: SET a1 1
        u3: CLIENT TRACKINGINFO
    """,
    "tracking what one opts into or out of": """
        t3: CLIENT CACHING YES
        t3: CLIENT TRACKING ON OPTIN
        t3: GET k
        b: SET k 1
        t3: CLIENT CACHING YES
        t3: CLIENT TRACKINGINFO
        t3: CLIENT CACHING NO
        t3: CLIENT CACHING maybe
        t3: CLIENT CACHING YES
        t3: MULTI
        t3: GET k
        t3: GET l
        t3: EXEC
        b: SET k 1
        b: SET l 1
        t3: CLIENT TRACKING ON OPTOUT
        t3: CLIENT TRACKING OFF
        t3: CLIENT TRACKING ON OPTIN OPTOUT
        t3: CLIENT TRACKING ON OPTOUT
        t3: GET k
        b: SET k 1
        t3: CLIENT CACHING YES
        t3: CLIENT CACHING NO
        t3: MULTI
        t3: GET k
        t3: EXEC
        b: SET k 1
        t3: CLIENT TRACKINGINFO
        t3: CLIENT TRACKING ON OPTOUT NOLOOP
        t3: GET k
        t3: SET k 2
        b: SET k 3
        t3: CLIENT TRACKING
        t3: CLIENT TRACKING maybe
        t3: CLIENT TRACKING ON PREFIX
        t3: CLIENT TRACKING ON REDIRECT
        t3: CLIENT TRACKING ON REDIRECT x
        t3: CLIENT TRACKING ON REDIRECT 999999
        t3: CLIENT TRACKING ON NONSENSE
    """,
    "tracking for another connection": """
        r: SUBSCRIBE __redis__:invalidate
        a: CLIENT TRACKING ON REDIRECT {id:r}
        a: CLIENT GETREDIR
        a: CLIENT TRACKINGINFO
        a: GET k
        b: SET k 1
        a: MGET k l
        a: SET k 1
        b: SET l 1
        b: FLUSHALL
        c3: CLIENT TRACKING ON REDIRECT {id:r} BCAST PREFIX p
        b: MSET p1 1 p2 2
        d3: PING
        e: CLIENT TRACKING ON REDIRECT {id:d3}
        e: GET k
        b: SET k 1
        e: CLIENT TRACKING ON REDIRECT {id:r} REDIRECT {id:d3}
        f: CLIENT TRACKING ON
        f: GET k
        b: SET k 1
        r: UNSUBSCRIBE
        a: GET k
        b: SET k 2
        r: SUBSCRIBE x
        a: GET k
        b: SET k 3
        r: !CLOSE
        a: GET k
        b: SET k 4
        a: CLIENT TRACKINGINFO
        b: SET p1 1
        c3: CLIENT TRACKINGINFO
        c3: CLIENT TRACKING OFF
        c3: CLIENT TRACKINGINFO
    """,
    "a waiter that tracks": """
        t3: CLIENT TRACKING ON
        t3: LRANGE q 0 -1
        t3~: BLPOP q 0
        b: RPUSH q 1 2
        t3: LRANGE q 0 -1
        b: DEL q
    """,
    "invalidations behind messages to oneself": """
        t3: CONFIG SET notify-keyspace-events KEA
        t3: CLIENT TRACKING ON
        t3: PSUBSCRIBE __keyspace*
        t3: MGET a b
        t3: MSET a 1 b 2
        t3: MGET a b
        b: SET a 2
        t3: MULTI
        t3: SET a 3
        t3: SET b 3
        t3: PUBLISH __keyspace@0__:x y
        t3: EXEC
        t3: CONFIG SET notify-keyspace-events ""
    """,
    "what a monitor sees": r"""
        m: MONITOR
        b: SET k "a\"b\\ \x00 tab"
        b: SELECT 1
        b: GET
        b: NOSUCH
        b: AUTH default secret
        b: AUTH secret
        b: HELLO 3 AUTH default secret
        b: CONFIG SET maxmemory-samples 5
        b: MULTI
        b: SET k 1
        b: SELECT 0
        b: GET k
        b: CONFIG GET hash-max-listpack-entries
        b: EXEC
        b: MULTI
        b: NOSUCH
        b: EXEC
        b: LPUSH k 1
        b: BLPOP k 0
        w~: BLPOP q 0
        b: RPUSH q 1
        m: GET k
        m: MONITOR
        m: ECHO x
        s3: SUBSCRIBE c
        b: PUBLISH c x
        b: CLIENT GETNAME
        b: CLIENT SETNAME x
        b: GET k
        b: CLIENT REPLY ON
        m: RESET
        b: GET k
        m: GET k
    """,
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    from tests.conftest import require_real_server

    require_real_server()
    directories = [tmp_path_factory.mktemp(name) for name in ("real", "own")]
    own_options = ("--save", "", "--enable-debug-command", "yes")
    # Of their own: plays change settings that other tests do not expect.
    with processes.start_real(directory=directories[0]) as real:
        with processes.start_own(*own_options, directory=directories[1]) as own:
            yield real, own


TO_ONESELF = ("subscribing in a transaction and leaving by RESET", "invalidations behind messages to oneself")


def is_older(server) -> bool:
    with server.wire() as wire:
        return b"redis_version:7.0" in wire.ask("INFO", "server")


@pytest.mark.parametrize("title", PLAYS)
def test_every_connection_reads_what_a_real_server_would_send_it(title, servers):
    for server in servers:
        with server.wire() as wire:
            wire.command("FLUSHALL")
            wire.command("DEBUG", "SET-ACTIVE-EXPIRE", 0)  # keys go when they are met
            wire.command("CONFIG", "SET", "notify-keyspace-events", "")
    older = is_older(servers[0])
    if older and title in TO_ONESELF:
        pytest.skip("before 7.2 a message to oneself broke the array of EXEC")
    difference = compare(PLAYS[title], *servers, in_any_order=older)
    assert not difference, difference
