"""DEBUG: what testers ask of a server, behind `enable-debug-command`.

A table of subcommands, each with how many arguments it takes; the container has one declaration, as in Redis. A
subcommand stands here once its subject exists. `SUBCOMMANDS` is closed: another subject brings a module of its own
with a table that `server.commands.debugging` is told of through `ctx.server.debug_subcommands`.
"""

from __future__ import annotations

import os
import signal
import sys
from time import sleep, time

from protocol.reply import OK, Attribute, BigNumber, ErrorReply, Map, Multi, Push, SetReply, Status, Verbatim
from server.log import shown
from server.number_arguments import integer, not_negative
from server.registry import ADMIN, LOADING, NOSCRIPT, PROTECTED, STALE, Group, subcommand_syntax
from storage import sizes
from storage.errors import NO_SUCH_KEY, NO_SUCH_SCRIPT, CommandError
from storage.globbing import compile_glob
from storage.numeric import leading_int
from storage.types import byte_strings, kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

    from server.session import Session

    Argv = Sequence[bytes]
    Subcommand = tuple[int, int, Callable[[Session, Argv], Any]]  # fewest and most arguments; -1: any number

server = Group("server")

LRU_CLOCK = (1 << 24) - 1
REPORT_BEGINS = "\n\n=== REDIS BUG REPORT START: Cut & paste starting from here ==="
FUZZ_ROUNDS = 20_000
FORCED_RESIZE_RATIO = 4
MAX_FLOAT_CHARS = 64
DIGEST_CHARS = 40
MAX_SLEEP_S = 2.0**63 / 1e6


@server.command(
    "DEBUG",
    arity=-2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED,
    since="1.0.0",
    complexity="Depends on subcommand.",
    is_system=True,
)
def debug(ctx: Session, argv: Argv) -> Any:
    """Look into the server and make it misbehave, for tests."""
    word = argv[1].upper()
    found = ctx.server.debug_subcommands.get(word) or SUBCOMMANDS.get(word)
    if found is not None:
        fewest, most, call = found
        if fewest <= len(argv) - 2 and (most < 0 or len(argv) - 2 <= most):
            return call(ctx, argv)
    raise CommandError(subcommand_syntax(argv))


def leading_float(text: bytes) -> float:
    """The number a text begins with, as strtod(3) reads it; 0 if none."""
    for end in range(min(len(text), MAX_FLOAT_CHARS), 0, -1):
        try:
            return float(text[:end])
        except ValueError:
            continue
    return 0.0


def present(ctx: Session, key: bytes) -> Any:
    """What stands at a key, though its deadline may have passed: who debugs wants nothing to change."""
    value = ctx.db.data.get(key)
    if value is None:
        raise CommandError(NO_SUCH_KEY)
    return value


# Time and the process ------------------------------------------------------------------------------------------


def debug_sleep(ctx: Session, argv: Argv) -> Any:
    """Sleep, but not for more microseconds than 64 bits hold, or a number that is none: C makes them negative."""
    duration_s = leading_float(argv[2])
    if 0.0 < duration_s < MAX_SLEEP_S:
        sleep(duration_s)
    return OK


def debug_error(ctx: Session, argv: Argv) -> Any:
    """An error that is answered, not one that happened: INFO does not count it."""
    return ErrorReply(argv[2].replace(b"\r", b" ").replace(b"\n", b" "))


def debug_log(ctx: Session, argv: Argv) -> Any:
    ctx.server.log.warning("DEBUG LOG: " + shown(argv[2]))
    return OK


def debug_change_repl_id(ctx: Session, argv: Argv) -> Any:
    ctx.server.log.notice("Changing replication IDs after receiving DEBUG change-repl-id")
    ctx.server.replication.history.begin()
    return OK


def debug_segfault(ctx: Session, argv: Argv) -> Any:
    """The default action and the report stand in server.crash; this is what the kernel would do."""
    os.kill(os.getpid(), signal.SIGSEGV)
    sleep(1.0)  # the signal may reach the process a moment later; nothing after it is run
    os.abort()


def panic(ctx: Session, headline: str) -> None:
    import faulthandler

    from server.watchdog import stack_lines

    log = ctx.server.log
    log.warning(headline)
    log.raw("\n------ STACK TRACE ------")
    for line in stack_lines(sys._getframe()):
        log.raw(line)
    faulthandler.disable()  # one report is enough
    log.raw("\n------ STACK TRACE DONE ------\n\n=== REDIS BUG REPORT END. ===")
    if ctx.server.config.use_exit_on_panic:
        os._exit(1)
    os.abort()


def debug_panic(ctx: Session, argv: Argv) -> Any:
    failure(ctx, "DEBUG PANIC called at Unix time %d" % time())


def failure(ctx: Session, what: str) -> None:
    log = ctx.server.log
    log.raw(REPORT_BEGINS)
    log.warning("------------------------------------------------")
    log.warning("!!! Software Failure. Press left mouse button to continue")
    panic(ctx, "Guru Meditation: %s #debugging.py:%d" % (what, sys._getframe().f_lineno))


def debug_assert(ctx: Session, argv: Argv) -> Any:
    ctx.server.log.raw(REPORT_BEGINS)
    ctx.server.log.warning("=== ASSERTION FAILED ===")
    panic(ctx, "==> debugging.py: DEBUG ASSERT is not true")


def debug_oom(ctx: Session, argv: Argv) -> Any:
    ctx.server.log.warning("Out Of Memory allocating %d bytes!" % sys.maxsize)
    failure(ctx, "Redis aborting for OUT OF MEMORY. Allocating %d bytes!" % sys.maxsize)


# Data ----------------------------------------------------------------------------------------------------------


def debug_object(ctx: Session, argv: Argv) -> Any:
    from storage.rdb import layout, payload

    value = present(ctx, argv[2])
    limits = ctx.keyspace.limits
    encoding = kinds.encoding_name(value, limits)
    is_shared = value.__class__ is bytes and byte_strings.is_shared(value, limits)
    serialized = payload.dump(value, limits, layout.NEWEST_VERSION)
    used_s = ctx.now_ms // 1000 if is_shared else ctx.db.access.get(argv[2], ctx.now_ms // 1000)
    text = b"Value at:0x%x refcount:%d encoding:%b serializedlength:%d lru:%d lru_seconds_idle:%d" % (
        place_of(argv[2]),
        2**31 - 1 if is_shared else 1,
        encoding,
        len(serialized) - PAYLOAD_FRAME,
        used_s & LRU_CLOCK,
        max(0, ctx.now_ms // 1000 - used_s),
    )
    if encoding == b"quicklist":
        nodes, size = sizes.quicklist_nodes(value, limits)
        text += b" ql_nodes:%d ql_avg_node:%.2f ql_listpack_max:%d ql_compressed:%d ql_uncompressed_size:%d" % (
            nodes,
            len(value) / nodes,
            limits.list_max_listpack_size,
            ctx.server.config.list_compress_depth != 0,
            size,
        )
    return Status(text)


def place_of(key: bytes) -> int:
    """Something like an address that stays the key's own: Redis edits numbers in place, and testers look at that."""
    return 1 << 46 | hash(key) % (1 << 42) << 4


PAYLOAD_FRAME = 11  # of DUMP's form: the type before the value, the version and the checksum behind it


def debug_sdslen(ctx: Session, argv: Argv) -> Any:
    value = present(ctx, argv[2])
    if kinds.encoding_name(value, ctx.keyspace.limits) not in (byte_strings.EMBSTR, byte_strings.RAW):
        raise CommandError(b"ERR Not an sds encoded string.")
    key_size, value_size = (sizes.text_size(len(text)) for text in (argv[2], value))
    return Status(
        b"key_sds_len:%d, key_sds_avail:0, key_zmalloc: %d, val_sds_len:%d, val_sds_avail:0, val_zmalloc: %d"
        % (len(argv[2]), key_size, len(value), value_size)
    )


def debug_listpack(ctx: Session, argv: Argv) -> Any:
    value = present(ctx, argv[2])
    if not kinds.encoding_name(value, ctx.keyspace.limits).startswith(b"listpack"):
        raise CommandError(b"ERR Not a listpack encoded object.")
    rows = value.items() if hasattr(value, "items") else enumerate(value)
    for place, row in enumerate(rows):
        ctx.server.log.raw("{%d} %r" % (place, row))
    return Status(b"Listpack structure printed on stdout")


def debug_quicklist(ctx: Session, argv: Argv) -> Any:
    value = present(ctx, argv[2])
    limits = ctx.keyspace.limits
    if kinds.encoding_name(value, limits) != b"quicklist":
        raise CommandError(b"ERR Not a quicklist encoded object.")
    nodes, size = sizes.quicklist_nodes(value, limits)
    ctx.server.log.raw("{quicklist nodes %d, elements %d, bytes %d}" % (nodes, len(value), size))
    if len(argv) == 4 and leading_int(argv[3]):
        for place, element in enumerate(value):
            ctx.server.log.raw("{%d} %r" % (place, element))
    return Status(b"Quicklist structure printed on stdout")


def slots_now(ctx: Session, count: int) -> int:
    """The slots of a database's table: while a child reads, none grows before it is overfull."""
    slots = sizes.table_slots(count)
    child = ctx.server.children.current
    if child is None or count <= child.keys_total:
        return slots
    kept = sizes.table_slots(child.keys_total)
    return kept if count <= kept * FORCED_RESIZE_RATIO else slots


def table_report(hashes: Sequence[int], slots: int, is_full: bool) -> str:
    """What Redis says of a hash table with these entries: sizes, and how its chains would be long."""
    lines = [
        "Hash table 0 stats (main hash table):",
        " table size: %d" % slots,
        " number of elements: %d" % len(hashes),
    ]
    if is_full and hashes:
        chains: dict[int, int] = {}
        for number in hashes:
            chains[number % slots] = chains.get(number % slots, 0) + 1
        lengths: dict[int, int] = {0: slots - len(chains)}
        for length in chains.values():
            lengths[length] = lengths.get(length, 0) + 1
        lines += [
            " different slots: %d" % len(chains),
            " max chain length: %d" % max(chains.values()),
            " avg chain length (counted): %.2f" % (len(hashes) / len(chains)),
            " avg chain length (computed): %.2f" % (len(hashes) / len(chains)),
            " Chain length distribution:",
        ]
        for length, count in sorted(lengths.items()):
            if count:
                lines.append("   %d: %d (%.2f%%)" % (length, count, 100.0 * count / slots))
    return "\n".join(lines) + "\n"


def is_full(argv: Argv) -> bool:
    return len(argv) == 4 and argv[3].upper() == b"FULL"


def debug_htstats(ctx: Session, argv: Argv) -> Any:
    number = integer(argv[2])
    if not 0 <= number < len(ctx.keyspace.databases):
        raise CommandError(b"ERR Out of range database")
    db = ctx.keyspace.databases[number]
    text = ""
    for headline, table in (("[Dictionary HT]", db.data), ("[Expires HT]", db.lapses)):
        text += headline + "\n"
        if table:
            text += table_report([hash(key) for key in table], slots_now(ctx, len(table)), is_full(argv))
    return Verbatim(b"txt", text.encode())


def debug_htstats_key(ctx: Session, argv: Argv) -> Any:
    value = present(ctx, argv[2])
    if kinds.encoding_name(value, ctx.keyspace.limits) not in (b"hashtable", b"skiplist"):
        raise CommandError(b"ERR The value stored at the specified key is not represented using an hash table")
    text = table_report([hash(member) for member in value], sizes.table_slots(len(value)), is_full(argv))
    return Verbatim(b"txt", text.encode())


def debug_digest(ctx: Session, argv: Argv) -> Any:
    from storage import digest  # here, since hashlib is slow to load

    return Status(digest.digest_databases(ctx.keyspace.databases))


def debug_digest_value(ctx: Session, argv: Argv) -> Any:
    from storage import digest

    return [Status(digest.digest_key(ctx.db, key)) for key in argv[2:]]


def debug_populate(ctx: Session, argv: Argv) -> Any:
    """Create keys without telling anybody: no event, no replication, existing ones stay."""
    count = not_negative(argv[2])
    prefix = argv[3] if len(argv) > 3 else b"key"
    size = not_negative(argv[4]) if len(argv) > 4 else 0
    db = ctx.db
    for number in range(count):
        key = b"%b:%d" % (prefix, number)
        if db.peek(key) is None:
            value = b"value:%d" % number
            db.put(key, value[:size].ljust(size, b"\0") if size else value)
    return OK


# Protocol and limits -------------------------------------------------------------------------------------------


def protocol_examples() -> dict[bytes, Any]:
    return {
        b"STRING": b"Hello World",
        b"INTEGER": 12345,
        b"DOUBLE": 3.141,
        b"NULL": None,
        b"ARRAY": [0, 1, 2],
        b"SET": SetReply([0, 1, 2]),
        b"MAP": Map([(0, False), (1, True), (2, False)]),
        b"ATTRIB": Attribute([(b"key-popularity", [b"key:123", 90])], b"Some real reply following the attribute"),
        b"BIGNUM": BigNumber(b"1234567999999999999999999999999999999"),
        b"TRUE": True,
        b"FALSE": False,
        b"VERBATIM": Verbatim(b"txt", b"This is a verbatim\nstring"),
    }


def debug_protocol(ctx: Session, argv: Argv) -> Any:
    word = argv[2].upper()
    if word == b"PUSH":
        if ctx.resp < 3:
            raise CommandError(b"ERR RESP2 is not supported by this command")
        return Multi([b"Some real reply following the push reply", Push([b"server-cpu-usage", 42])])
    examples = protocol_examples()
    if word not in examples:
        raise CommandError(
            b"ERR Wrong protocol type name. Please use one of the following: "
            b"string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
        )
    return examples[word]


def debug_stringmatch_len(ctx: Session, argv: Argv) -> int:
    return int(compile_glob(argv[2])(argv[3]))


def debug_stringmatch_test(ctx: Session, argv: Argv) -> Any:
    """Throw random patterns at random strings: no pattern may be refused, crash or take for ever."""
    from random import Random

    rng = Random()
    for _ in range(FUZZ_ROUNDS):
        pattern = bytes(rng.choices(b"*?[]^-\\ab\xff", k=rng.randrange(16)))
        compile_glob(pattern)(bytes(rng.choices(b"ab-^]\xff", k=rng.randrange(16))))
    return Status(b"Apparently Redis did not crash: test passed")


def debug_quicklist_packed_threshold(ctx: Session, argv: Argv) -> Any:
    """Taken and judged as in Redis; a list here has no packed blocks, so the threshold changes nothing visible."""
    from server.config.kinds import parse_memory

    try:
        size = parse_memory(argv[2])
    except ValueError:
        size = -1
    if not 0 <= size < 1 << 32:
        raise CommandError(b"ERR argument must be a memory value bigger than 1 and smaller than 4gb")
    return OK


def debug_structsize(ctx: Session, argv: Argv) -> Any:
    empty = [sys.getsizeof(kind()) if hasattr(sys, "getsizeof") else 0 for kind in (bytes, bytearray, dict)]
    bits = 64 if sys.maxsize > 2**32 else 32
    return b"bits:%d bytes:%d bytearray:%d dict:%d" % (bits, *empty)


def debug_script(ctx: Session, argv: Argv) -> Any:
    """Print a cached script to the log, or all of them."""
    scripts = ctx.server.scripting.known_digests()
    if argv[2].upper() == b"LIST":
        named = list(scripts)
    elif len(argv[2]) != DIGEST_CHARS:
        raise CommandError(subcommand_syntax(argv))
    elif argv[2] in scripts:
        named = [argv[2]]
    else:
        raise CommandError(NO_SUCH_SCRIPT)
    for digest in named:
        text = digest + b"\n" + scripts[digest].text
        ctx.server.log.warning("SCRIPT SHA: " + shown(text))
    return OK


def debug_replicate(ctx: Session, argv: Argv) -> Any:
    """Send the replicas (and the log) a command that is not run here."""
    ctx.propagate_as(*argv[2:])
    return OK


HELP = """
DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
AOF-FLUSH-SLEEP <microsec>
    Wait for so long before each write of the append only file.
ASSERT
    End as after a failed assertion.
CHANGE-REPL-ID
    Choose a new replication ID, as if the history were another one.
CLIENT-EVICTION
    Show how many clients hold how much, where maxmemory-clients limits it.
CONFIG-REWRITE-FORCE-ALL
    Rewrite the configuration file with every directive, defaults too.
CRASH-AND-RECOVER [<milliseconds>]
    Begin anew after a delay, without saving anything.
DIGEST
    Return one hash of everything that is stored.
DIGEST-VALUE <key> [<key> ...]
    Return a hash of the value of each key.
ERROR <string>
    Answer with an error of this text.
HTSTATS <dbid> [full]
    Describe the hash tables of a database.
HTSTATS-KEY <key> [full]
    Describe the hash table of a value.
LISTPACK <key>
    Print a small value to the log.
LOADAOF
    Empty the databases and load the append only file.
LOG <message>
    Write a message to the log.
OBJECT <key>
    Tell how a value is stored.
OOM
    End as when no memory is left.
PANIC
    End as after an error from which there is no way back.
PAUSE-CRON <0|1>
    Stop or resume what is done from time to time by itself.
POPULATE <count> [<prefix>] [<size>]
    Create string keys <prefix>:0, <prefix>:1 and so on, silently. The prefix
    is "key" where none is given; values are cut or filled to <size> bytes.
PROTOCOL <type>
    Answer with an example of a type: string, integer, double, bignum, null,
    array, set, map, attrib, push, verbatim, true, false.
QUICKLIST <key> [<0|1>]
    Describe a long list; with 1 its elements go to the log, too.
QUICKLIST-PACKED-THRESHOLD <size>
    Take the size from which Redis stores list elements on their own.
RELOAD [MERGE] [NOFLUSH] [NOSAVE]
    Save a snapshot, empty the databases, load it.
REPLICATE <arg> [<arg> ...]
    Send a command to replicas without running it here.
RESTART [<milliseconds>]
    Rewrite the configuration, save, and begin anew after a delay.
SCRIPT <LIST|sha>
    Print all cached scripts, or one, to the log.
SDSLEN <key>
    Tell the lengths of a key and of the string it holds.
SEGFAULT
    End by a segmentation fault.
SET-ACTIVE-EXPIRE <0|1>
    Stop or resume deleting what has expired before somebody asks for it.
SET-DISABLE-DENY-SCRIPTS <0|1>
    Let scripts call what they may not call, or not any more.
SET-SKIP-CHECKSUM-VALIDATION <0|1>
    Take snapshots and payloads of RESTORE whatever their checksums say.
SLEEP <seconds>
    Do nothing for so long; decimals are allowed.
STRINGMATCH-LEN <pattern> <string>
    Match a string against a pattern.
STRINGMATCH-TEST
    Match many random strings against random patterns.
STRUCTSIZE
    Return the sizes of empty objects.
HELP
    Print this help.
"""


def debug_help(ctx: Session, argv: Argv) -> Any:
    return [Status(line.encode()) for line in HELP.strip().splitlines()]


SUBCOMMANDS: dict[bytes, Subcommand] = {
    b"ASSERT": (0, -1, debug_assert),
    b"CHANGE-REPL-ID": (0, 0, debug_change_repl_id),
    b"DIGEST": (0, 0, debug_digest),
    b"DIGEST-VALUE": (0, -1, debug_digest_value),
    b"ERROR": (1, 1, debug_error),
    b"HELP": (0, 0, debug_help),
    b"HTSTATS": (1, -1, debug_htstats),
    b"HTSTATS-KEY": (1, -1, debug_htstats_key),
    b"LISTPACK": (1, 1, debug_listpack),
    b"LOG": (1, 1, debug_log),
    b"OBJECT": (1, 1, debug_object),
    b"OOM": (0, -1, debug_oom),
    b"PANIC": (0, -1, debug_panic),
    b"POPULATE": (1, 3, debug_populate),
    b"PROTOCOL": (1, 1, debug_protocol),
    b"QUICKLIST": (1, 2, debug_quicklist),
    b"QUICKLIST-PACKED-THRESHOLD": (1, 1, debug_quicklist_packed_threshold),
    b"REPLICATE": (1, -1, debug_replicate),
    b"SCRIPT": (1, 1, debug_script),
    b"SDSLEN": (1, 1, debug_sdslen),
    b"SEGFAULT": (0, -1, debug_segfault),
    b"SLEEP": (1, 1, debug_sleep),
    b"STRINGMATCH-LEN": (2, 2, debug_stringmatch_len),
    b"STRINGMATCH-TEST": (0, 0, debug_stringmatch_test),
    b"STRUCTSIZE": (0, 0, debug_structsize),
}
