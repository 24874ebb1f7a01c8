"""Masters and replicas: following, being followed, waiting for replicas, handing over.

Argument grammar; what happens is `server.replication`.
"""

from __future__ import annotations

from protocol.reply import NO_REPLY, OK, Status
from server.client_description import describe
from server.log import shown
from server.number_arguments import integer, integer_between, not_negative
from server.registry import (
    ADMIN,
    ALLOW_BUSY,
    BLOCKING,
    FAST,
    LOADING,
    NO_ASYNC_LOADING,
    NO_MULTI,
    NOSCRIPT,
    STALE,
    Group,
)
from server.timeout_arguments import timeout_of_milliseconds
from storage.errors import SYNTAX_ERROR, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

server = Group("server")
generic = Group("generic")

MAX_PORT = 65535
WAIT_ON_REPLICA = (
    b"ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured "
    b"to be writable (which is not the default) writes to replicas are just local and are not propagated."
)
WAITAOF_ON_REPLICA = (
    b"ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and "
    b"are not propagated."
)


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
    from server.replication.reporting import role as of

    return of(ctx.server.replication)


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
    if ctx.server.replication.is_replica:
        raise CommandError(WAIT_ON_REPLICA)
    return ctx.server.replication.waits.wait(ctx, wanted, timeout_ms)


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
    if ctx.server.replication.is_replica:
        raise CommandError(WAITAOF_ON_REPLICA)
    if wanted_here and not ctx.server.config.appendonly:
        raise CommandError(b"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
    return ctx.server.replication.waits.wait(ctx, wanted, timeout_ms, in_logs=True, wants_own=wanted_here == 1)


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
        failover = ctx.server.replication.failover
        if failover is None:
            raise CommandError(b"ERR No failover in progress.")
        failover.call_off("Failover manually aborted")
        return OK
    timeout_ms = 0
    host = b""
    port = 0
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
            port = integer(argv[at + 2])
            host = argv[at + 1]
            at += 2
        elif option == b"FORCE" and not forced:
            forced = True
        else:
            raise CommandError(SYNTAX_ERROR)
        at += 1
    from server.replication.failover import begin

    begin(ctx.server.replication, host.decode("latin-1") if host else None, port, timeout_ms, forced)
    return OK


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
    replication = ctx.server.replication
    if replication.is_failing_over:
        raise CommandError(b"ERR REPLICAOF not allowed while failing over.")
    by = shown(describe(ctx, argv))
    if argv[1].upper() == b"NO" and argv[2].upper() == b"ONE":
        replication.promote("user request from '%s'" % by)
        return OK
    if ctx.kind == b"replica":
        raise CommandError(b"ERR Command is not valid when client is a replica.")
    port = integer_between(argv[2], 0, MAX_PORT, b"ERR Invalid master port")
    host = argv[1].decode("utf-8", "surrogateescape")
    if ctx.server.config.replicaof == (host, port):
        ctx.server.log.notice(
            "REPLICAOF would result into synchronization with the master we are already connected with. No operation "
            "performed."
        )
        return Status(b"OK Already connected to specified master")
    replication.follow(host, port, by)
    return OK


@server.command(
    "REPLCONF",
    arity=-1,
    flags=ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
    since="3.0.0",
    complexity="O(1)",
    is_system=True,
)
def replconf(ctx: Session, argv: Argv) -> Any:
    """What a replica says of itself: its address, what it understands, how far it is."""
    return ctx.server.replication.primary.configure(ctx, argv)


@server.command(
    "PSYNC",
    arity=-3,
    flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI,
    since="2.8.0",
    syntax="replicationid offset",
)
@server.command(
    "SYNC",
    arity=1,
    flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI,
    since="1.0.0",
)
def psync(ctx: Session, argv: Argv) -> Any:
    """Make the connection a replica's link: it gets the data set, or what it missed, then every change."""
    ctx.server.replication.primary.synchronise(ctx, argv)
    return NO_REPLY
