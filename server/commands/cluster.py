"""CLUSTER and what belongs to it, as a server answers whose cluster support is disabled.

Cluster mode is refused at start, so every well formed subcommand, HELP included, answers with the same error;
arity and unknown subcommands are refused before a handler runs. The declarations serve clients that ask COMMAND.
"""

from __future__ import annotations

from server.registry import ADMIN, FAST, LOADING, NO_ASYNC_LOADING, NOSCRIPT, STALE, Group
from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session

    Argv = Sequence[bytes]

cluster = Group("cluster")

CLUSTER_DISABLED = b"ERR This instance has cluster support disabled"


@cluster.command(
    "ASKING",
    arity=1,
    flags=FAST,
    since="3.0.0",
    complexity="O(1)",
    acl=("connection",),
)
def asking(ctx: Session, argv: Argv) -> Any:
    """Let the next command use a slot that is being imported."""
    raise CommandError(CLUSTER_DISABLED)


cluster.container(
    "CLUSTER",
    since="3.0.0",
    summary="A container of the commands of Redis Cluster.",
    help_since="",  # HELP too is refused, below
)


@cluster.command(
    "CLUSTER|ADDSLOTS",
    arity=-3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(N), N = hash slot arguments",
    syntax="slot...",
)
def cluster_addslots(ctx: Session, argv: Argv) -> Any:
    """Assign hash slots to this node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|ADDSLOTSRANGE",
    arity=-4,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="7.0.0",
    complexity="O(N), N = slots between the start slot and end slot arguments",
    syntax="range=(start-slot end-slot)...",
)
def cluster_addslotsrange(ctx: Session, argv: Argv) -> Any:
    """Assign ranges of hash slots to this node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|BUMPEPOCH",
    arity=2,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
)
def cluster_bumpepoch(ctx: Session, argv: Argv) -> Any:
    """Raise the configuration epoch of the cluster."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|COUNT-FAILURE-REPORTS",
    arity=3,
    flags=ADMIN | STALE,
    since="3.0.0",
    complexity="O(N), N = failure reports",
    tips=("nondeterministic_output",),
    syntax="node-id",
)
def cluster_count_failure_reports(ctx: Session, argv: Argv) -> Any:
    """Count the valid failure reports about a node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|COUNTKEYSINSLOT",
    arity=3,
    flags=STALE,
    since="3.0.0",
    complexity="O(1)",
    syntax="slot",
)
def cluster_countkeysinslot(ctx: Session, argv: Argv) -> Any:
    """Count the keys of a hash slot."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|DELSLOTS",
    arity=-3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(N), N = hash slot arguments",
    syntax="slot...",
)
def cluster_delslots(ctx: Session, argv: Argv) -> Any:
    """Take hash slots from this node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|DELSLOTSRANGE",
    arity=-4,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="7.0.0",
    complexity="O(N), N = slots between the start slot and end slot arguments",
    syntax="range=(start-slot end-slot)...",
)
def cluster_delslotsrange(ctx: Session, argv: Argv) -> Any:
    """Take ranges of hash slots from this node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|FAILOVER",
    arity=-2,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax="options=[FORCE | TAKEOVER]",
)
def cluster_failover(ctx: Session, argv: Argv) -> Any:
    """Have this replica take its master's place."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|FLUSHSLOTS",
    arity=2,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
)
def cluster_flushslots(ctx: Session, argv: Argv) -> Any:
    """Take all hash slots from this node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|FORGET",
    arity=3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax="node-id",
)
def cluster_forget(ctx: Session, argv: Argv) -> Any:
    """Remove a node from the table of nodes."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|GETKEYSINSLOT",
    arity=4,
    flags=STALE,
    since="3.0.0",
    complexity="O(N), N = requested keys",
    tips=("nondeterministic_output",),
    syntax="slot count",
)
def cluster_getkeysinslot(ctx: Session, argv: Argv) -> Any:
    """Return some keys of a hash slot."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|HELP",
    arity=2,
    flags=LOADING | STALE,
    since="5.0.0",
    complexity="O(1)",
)
def cluster_help(ctx: Session, argv: Argv) -> Any:
    """Explain the subcommands."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|INFO",
    arity=2,
    flags=STALE,
    since="3.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
)
def cluster_info(ctx: Session, argv: Argv) -> Any:
    """Describe the state of the cluster."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|KEYSLOT",
    arity=3,
    flags=STALE,
    since="3.0.0",
    complexity="O(N), N = length of the key",
    syntax="key:string",
)
def cluster_keyslot(ctx: Session, argv: Argv) -> Any:
    """Return the hash slot of a key."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|LINKS",
    arity=2,
    flags=STALE,
    since="7.0.0",
    complexity="O(N), N = Cluster nodes",
    tips=("nondeterministic_output",),
)
def cluster_links(ctx: Session, argv: Argv) -> Any:
    """List the connections between this node and its peers."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|MEET",
    arity=-4,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    history=(("4.0.0", "Takes the port of the bus."),),
    syntax="ip port [cluster-bus-port@4.0.0]",
)
def cluster_meet(ctx: Session, argv: Argv) -> Any:
    """Make this node talk to another one."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|MYID",
    arity=2,
    flags=STALE,
    since="3.0.0",
    complexity="O(1)",
)
def cluster_myid(ctx: Session, argv: Argv) -> Any:
    """Return the id of this node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|MYSHARDID",
    arity=2,
    flags=STALE,
    since="7.2.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
)
def cluster_myshardid(ctx: Session, argv: Argv) -> Any:
    """Return the id of the shard of this node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|NODES",
    arity=2,
    flags=STALE,
    since="3.0.0",
    complexity="O(N), N = Cluster nodes",
    tips=("nondeterministic_output",),
)
def cluster_nodes(ctx: Session, argv: Argv) -> Any:
    """List the nodes as this node's configuration has them."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|REPLICAS",
    arity=3,
    flags=ADMIN | STALE,
    since="5.0.0",
    complexity="O(N), N = replicas",
    tips=("nondeterministic_output",),
    syntax="node-id",
)
def cluster_replicas(ctx: Session, argv: Argv) -> Any:
    """List the replicas of a master."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|REPLICATE",
    arity=3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax="node-id",
)
def cluster_replicate(ctx: Session, argv: Argv) -> Any:
    """Make this node a replica of a master."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|RESET",
    arity=-2,
    flags=ADMIN | NOSCRIPT | STALE,
    since="3.0.0",
    complexity="O(N), N = known nodes; may have to do a FLUSHALL",
    syntax="reset-type=[HARD | SOFT]",
)
def cluster_reset(ctx: Session, argv: Argv) -> Any:
    """Forget the cluster, its nodes and slots."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|SAVECONFIG",
    arity=2,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
)
def cluster_saveconfig(ctx: Session, argv: Argv) -> Any:
    """Write the configuration of the cluster to disk."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|SET-CONFIG-EPOCH",
    arity=3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax="config-epoch",
)
def cluster_set_config_epoch(ctx: Session, argv: Argv) -> Any:
    """Set the configuration epoch of a new node."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|SETSLOT",
    arity=-4,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax=(
        "slot subcommand=(IMPORTING importing{node-id} | MIGRATING migrating{node-id} | NODE "
        "node{node-id} | STABLE)"
    ),
)
def cluster_setslot(ctx: Session, argv: Argv) -> Any:
    """Tie a hash slot to a node, or move it."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|SHARDS",
    arity=2,
    flags=LOADING | STALE,
    since="7.0.0",
    complexity="O(N), N = cluster nodes",
    tips=("nondeterministic_output",),
)
def cluster_shards(ctx: Session, argv: Argv) -> Any:
    """List the shards with their slots and nodes."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|SLAVES",
    arity=3,
    flags=ADMIN | STALE,
    since="3.0.0",
    complexity="O(N), N = replicas",
    tips=("nondeterministic_output",),
    syntax="node-id",
    deprecated=("5.0.0", "CLUSTER REPLICAS"),
)
def cluster_slaves(ctx: Session, argv: Argv) -> Any:
    """List the replicas of a master, by an old name."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "CLUSTER|SLOTS",
    arity=2,
    flags=LOADING | STALE,
    since="3.0.0",
    complexity="O(N), N = Cluster nodes",
    history=(("4.0.0", "Node ids."), ("7.0.0", "Further metadata of the network.")),
    tips=("nondeterministic_output",),
    deprecated=("7.0.0", "CLUSTER SHARDS"),
)
def cluster_slots(ctx: Session, argv: Argv) -> Any:
    """List ranges of hash slots with their nodes."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "READONLY",
    arity=1,
    flags=LOADING | STALE | FAST,
    since="3.0.0",
    complexity="O(1)",
    acl=("connection",),
)
def readonly(ctx: Session, argv: Argv) -> Any:
    """Let this connection read from a replica of a cluster."""
    raise CommandError(CLUSTER_DISABLED)


@cluster.command(
    "READWRITE",
    arity=1,
    flags=LOADING | STALE | FAST,
    since="3.0.0",
    complexity="O(1)",
    acl=("connection",),
)
def readwrite(ctx: Session, argv: Argv) -> Any:
    """Take READONLY back."""
    raise CommandError(CLUSTER_DISABLED)
