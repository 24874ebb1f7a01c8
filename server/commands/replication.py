"""Masters and replicas, as far as a master without replicas goes: ROLE, WAIT, WAITAOF, FAILOVER, REPLICAOF."""

from __future__ import annotations

from protocol.reply import OK, Block
from server.number_arguments import integer, integer_between, not_negative
from server.registry import ADMIN, BLOCKING, FAST, LOADING, NO_ASYNC_LOADING, NOSCRIPT, STALE, Group
from server.timeout_arguments import timeout_of_milliseconds
from storage.errors import SYNTAX_ERROR, CommandError
from storage.numeric import parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

server = Group("server")
generic = Group("generic")

MAX_PORT = 65535


@server.command(
    "ROLE",
    arity=1,
    flags=NOSCRIPT | LOADING | STALE | FAST,
    since="2.8.12",
    complexity="O(1)",
    acl=("admin", "dangerous"),
)
def role(ctx: Session, argv: Argv) -> List[Any]:
    """Tell that this is a master, how far its history goes, and who follows it."""
    return [b"master", 0, []]


@generic.command(
    "WAIT",
    arity=3,
    flags=BLOCKING,
    since="3.0.0",
    complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:agg_min"),
    syntax="numreplicas timeout:integer",
    acl=("-keyspace", "connection"),
)
def wait(ctx: Session, argv: Argv) -> Any:
    """Wait until some replicas have what this connection wrote; tells how many do."""
    wanted = integer(argv[1])
    timeout_ms = timeout_of_milliseconds(argv[2], ctx.now_ms)
    if wanted <= 0:
        return 0
    return Block((), timeout_ms, on_timeout=0, kind=Block)


@generic.command(
    "WAITAOF",
    arity=4,
    flags=BLOCKING,
    since="7.2.0",
    complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:agg_min"),
    syntax="numlocal numreplicas timeout:integer",
    acl=("-keyspace", "connection"),
)
def waitaof(ctx: Session, argv: Argv) -> Any:
    """Wait until the log of this server and of some replicas has what this connection wrote."""
    wanted_here = integer_between(argv[1], 0, 1)
    wanted = not_negative(argv[2])
    timeout_ms = timeout_of_milliseconds(argv[3], ctx.now_ms)
    if wanted_here and not ctx.server.config.appendonly:
        raise CommandError(b"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
    persistence = ctx.server.persistence
    is_synced = persistence.is_local_synced()
    if is_synced >= wanted_here and not wanted:
        return [int(is_synced), 0]
    block = Block((), timeout_ms, on_timeout=[int(is_synced), 0], kind=Block)
    if not wanted:
        persistence.wait_for_sync(ctx, block)
    return block


@server.command(
    "FAILOVER",
    arity=-1,
    flags=ADMIN | NOSCRIPT | STALE,
    since="6.2.0",
    complexity="O(1)",
    syntax="target=[TO (host port [FORCE])] [ABORT] [TIMEOUT milliseconds]",
)
def failover(ctx: Session, argv: Argv) -> Any:
    """Hand the mastership over to a replica."""
    if len(argv) == 2 and argv[1].upper() == b"ABORT":
        raise CommandError(b"ERR No failover in progress.")
    timeout_ms = 0
    host = b""
    forced = False
    at = 1
    while at < len(argv):
        option = argv[at].upper()
        left = len(argv) - at - 1
        if option == b"TIMEOUT" and left >= 1 and not timeout_ms:
            timeout_ms = integer(argv[at + 1])
            if timeout_ms <= 0:
                raise CommandError(b"ERR FAILOVER timeout must be greater than 0")
            at += 1
        elif option == b"TO" and left >= 2 and not host:
            integer(argv[at + 2])
            host = argv[at + 1]
            at += 2
        elif option == b"FORCE" and not forced:
            forced = True
        else:
            raise CommandError(SYNTAX_ERROR)
        at += 1
    raise CommandError(b"ERR FAILOVER requires connected replicas.")


@server.command(
    "REPLICAOF",
    arity=3,
    flags=ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING,
    since="5.0.0",
    complexity="O(1)",
    syntax="args=(host-port=(host port) | no-one=(NO ONE))",
)
@server.command(
    "SLAVEOF",
    arity=3,
    flags=ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING,
    since="1.0.0",
    complexity="O(1)",
    syntax="args=(host-port=(host port) | no-one=(NO ONE))",
    deprecated=("5.0.0", "REPLICAOF"),
)
def replicaof(ctx: Session, argv: Argv) -> Any:
    """Follow a master, or (NO ONE) be one."""
    if argv[1].upper() == b"NO" and argv[2].upper() == b"ONE":
        return OK
    try:
        port = parse_int(argv[2])
    except ValueError:
        port = -1
    if not 0 <= port <= MAX_PORT:
        raise CommandError(b"ERR Invalid master port")
    raise CommandError(b"ERR This server cannot follow a master")
