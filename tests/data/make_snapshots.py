"""Make a snapshot fixture with a real server: `python -m tests.data.make_snapshots BINARY OUTPUT` from the root.

The files beside this script were made so, by the servers they are named after. `COMMANDS` is what they hold.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

FAR_MS = 4102444800000  # in 2100

COMMANDS: list[tuple] = [
    ("SET", "string:empty", ""),
    ("SET", "string:int8", "-7"),
    ("SET", "string:int16", "12345"),
    ("SET", "string:int32", "-2000000000"),
    ("SET", "string:int64", "9000000000"),
    ("SET", "string:zeros", "007"),
    ("SET", "string:lzf", "abc" * 100),
    ("SET", "string:raw", bytes(range(100, 200))),
    ("SET", "string:deadline", "x", "PXAT", FAR_MS),
    ("RPUSH", "list:small", "a", "1", "-5000", "70000", "9000000000", "b" * 70),
    ("RPUSH", "list:nodes", *[f"{number:05}" * 20 for number in range(90)]),
    ("RPUSH", "list:plain", "a", "b" * 9000, "c"),
    ("SADD", "set:int16", 3, 1, 2),
    ("SADD", "set:int32", 70000, -1),
    ("SADD", "set:int64", 1 << 40, -1),
    ("SADD", "set:small", "a", "b", "1"),
    ("SADD", "set:table", "a" * 65, "b"),
    ("ZADD", "zset:small", "-inf", "a", "0.1", "b", "3", "c", "inf", "d"),
    ("ZADD", "zset:skiplist", "-inf", "a" * 65, "0.1", "b", "3", "c"),
    ("HSET", "hash:small", "f", "v", "1", "2", "", ""),
    ("HSET", "hash:table", "f", "v" * 65, "1", "2"),
    ("XADD", "stream", "1-1", "f", "v", "g", "1"),
    ("XADD", "stream", "1-2", "f", "w", "g", "2"),
    ("XADD", "stream", "5-0", "other", "x"),
    ("XADD", "stream", "6-0", "f", "y", "g", "3"),
    ("XDEL", "stream", "1-2"),
    ("XGROUP", "CREATE", "stream", "group", "0"),
    ("XREADGROUP", "GROUP", "group", "alice", "COUNT", "2", "STREAMS", "stream", ">"),
    ("XGROUP", "CREATECONSUMER", "stream", "group", "bob"),
    ("XGROUP", "CREATE", "stream:empty", "group", "$", "MKSTREAM"),
    ("SELECT", 3),
    ("SET", "elsewhere", "3"),
    ("SELECT", 0),
]
FIELD_DEADLINES: list[tuple] = [
    ("HSET", "hash:packed-deadlines", "f", "v", "g", "w", "h", "x"),
    ("HPEXPIREAT", "hash:packed-deadlines", FAR_MS, "FIELDS", 2, "f", "h"),
    ("HSET", "hash:deadlines", "f", "v" * 65, "g", "w", "h", "x"),
    ("HPEXPIREAT", "hash:deadlines", FAR_MS, "FIELDS", 1, "f"),
    ("HPEXPIREAT", "hash:deadlines", FAR_MS + 5000, "FIELDS", 1, "g"),
]


def main() -> None:
    from tests.harness import processes

    binary, output = sys.argv[1:]
    os.environ["REDISELECT_ORACLE_BINARY"] = binary
    directory = tempfile.mkdtemp()
    with processes.start_real("--dbfilename", "made.rdb", directory=directory) as server, server.wire() as wire:
        for command in COMMANDS:
            wire.command(*command)
        for command in FIELD_DEADLINES:
            wire.command(*command)  # an unknown command before 7.4
        if "7." in output:
            wire.command("FUNCTION", "LOAD", "#!lua name=made\nredis.register_function('f', function() return 1 end)")
        wire.command("SAVE")
    shutil.copy(os.path.join(directory, "made.rdb"), output)


if __name__ == "__main__":
    main()
