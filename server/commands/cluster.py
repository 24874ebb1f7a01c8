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


def refuse(ctx: Session, argv: Argv) -> Any:
    """The handler of them all."""
    raise CommandError(CLUSTER_DISABLED)


cluster.command(
    "ASKING",
    summary="Let the next command use a slot that is being imported.",
    arity=1,
    flags=FAST,
    since="3.0.0",
    complexity="O(1)",
    acl=("connection",),
)(refuse)

cluster.container(
    "CLUSTER",
    since="3.0.0",
    summary="A container of the commands of Redis Cluster.",
    help_since="",  # HELP too is refused, below
)

cluster.command(
    "CLUSTER|ADDSLOTS",
    summary="Assign hash slots to this node.",
    arity=-3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(N), N = hash slot arguments",
    syntax="slot...",
)(refuse)

cluster.command(
    "CLUSTER|ADDSLOTSRANGE",
    summary="Assign ranges of hash slots to this node.",
    arity=-4,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="7.0.0",
    complexity="O(N), N = slots between the start slot and end slot arguments",
    syntax="range=(start-slot end-slot)...",
)(refuse)

cluster.command(
    "CLUSTER|BUMPEPOCH",
    summary="Raise the configuration epoch of the cluster.",
    arity=2,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
)(refuse)

cluster.command(
    "CLUSTER|COUNT-FAILURE-REPORTS",
    summary="Count the valid failure reports about a node.",
    arity=3,
    flags=ADMIN | STALE,
    since="3.0.0",
    complexity="O(N), N = failure reports",
    tips=("nondeterministic_output",),
    syntax="node-id",
)(refuse)

cluster.command(
    "CLUSTER|COUNTKEYSINSLOT",
    summary="Count the keys of a hash slot.",
    arity=3,
    flags=STALE,
    since="3.0.0",
    complexity="O(1)",
    syntax="slot",
)(refuse)

cluster.command(
    "CLUSTER|DELSLOTS",
    summary="Take hash slots from this node.",
    arity=-3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(N), N = hash slot arguments",
    syntax="slot...",
)(refuse)

cluster.command(
    "CLUSTER|DELSLOTSRANGE",
    summary="Take ranges of hash slots from this node.",
    arity=-4,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="7.0.0",
    complexity="O(N), N = slots between the start slot and end slot arguments",
    syntax="range=(start-slot end-slot)...",
)(refuse)

cluster.command(
    "CLUSTER|FAILOVER",
    summary="Have this replica take its master's place.",
    arity=-2,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax="options=[FORCE | TAKEOVER]",
)(refuse)

cluster.command(
    "CLUSTER|FLUSHSLOTS",
    summary="Take all hash slots from this node.",
    arity=2,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
)(refuse)

cluster.command(
    "CLUSTER|FORGET",
    summary="Remove a node from the table of nodes.",
    arity=3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax="node-id",
)(refuse)

cluster.command(
    "CLUSTER|GETKEYSINSLOT",
    summary="Return some keys of a hash slot.",
    arity=4,
    flags=STALE,
    since="3.0.0",
    complexity="O(N), N = requested keys",
    tips=("nondeterministic_output",),
    syntax="slot count",
)(refuse)

cluster.command(
    "CLUSTER|HELP",
    summary="Explain the subcommands.",
    arity=2,
    flags=LOADING | STALE,
    since="5.0.0",
    complexity="O(1)",
)(refuse)

cluster.command(
    "CLUSTER|INFO",
    summary="Describe the state of the cluster.",
    arity=2,
    flags=STALE,
    since="3.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
)(refuse)

cluster.command(
    "CLUSTER|KEYSLOT",
    summary="Return the hash slot of a key.",
    arity=3,
    flags=STALE,
    since="3.0.0",
    complexity="O(N), N = length of the key",
    syntax="key:string",
)(refuse)

cluster.command(
    "CLUSTER|LINKS",
    summary="List the connections between this node and its peers.",
    arity=2,
    flags=STALE,
    since="7.0.0",
    complexity="O(N), N = Cluster nodes",
    tips=("nondeterministic_output",),
)(refuse)

cluster.command(
    "CLUSTER|MEET",
    summary="Make this node talk to another one.",
    arity=-4,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    history=(("4.0.0", "Takes the port of the bus."),),
    syntax="ip port [cluster-bus-port@4.0.0]",
)(refuse)

cluster.command(
    "CLUSTER|MYID",
    summary="Return the id of this node.",
    arity=2,
    flags=STALE,
    since="3.0.0",
    complexity="O(1)",
)(refuse)

cluster.command(
    "CLUSTER|MYSHARDID",
    summary="Return the id of the shard of this node.",
    arity=2,
    flags=STALE,
    since="7.2.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
)(refuse)

cluster.command(
    "CLUSTER|NODES",
    summary="List the nodes as this node's configuration has them.",
    arity=2,
    flags=STALE,
    since="3.0.0",
    complexity="O(N), N = Cluster nodes",
    tips=("nondeterministic_output",),
)(refuse)

cluster.command(
    "CLUSTER|REPLICAS",
    summary="List the replicas of a master.",
    arity=3,
    flags=ADMIN | STALE,
    since="5.0.0",
    complexity="O(N), N = replicas",
    tips=("nondeterministic_output",),
    syntax="node-id",
)(refuse)

cluster.command(
    "CLUSTER|REPLICATE",
    summary="Make this node a replica of a master.",
    arity=3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax="node-id",
)(refuse)

cluster.command(
    "CLUSTER|RESET",
    summary="Forget the cluster, its nodes and slots.",
    arity=-2,
    flags=ADMIN | NOSCRIPT | STALE,
    since="3.0.0",
    complexity="O(N), N = known nodes; may have to do a FLUSHALL",
    syntax="reset-type=[HARD | SOFT]",
)(refuse)

cluster.command(
    "CLUSTER|SAVECONFIG",
    summary="Write the configuration of the cluster to disk.",
    arity=2,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
)(refuse)

cluster.command(
    "CLUSTER|SET-CONFIG-EPOCH",
    summary="Set the configuration epoch of a new node.",
    arity=3,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax="config-epoch",
)(refuse)

cluster.command(
    "CLUSTER|SETSLOT",
    summary="Tie a hash slot to a node, or move it.",
    arity=-4,
    flags=ADMIN | STALE | NO_ASYNC_LOADING,
    since="3.0.0",
    complexity="O(1)",
    syntax=(
        "slot subcommand=(IMPORTING importing{node-id} | MIGRATING migrating{node-id} | NODE "
        "node{node-id} | STABLE)"
    ),
)(refuse)

cluster.command(
    "CLUSTER|SHARDS",
    summary="List the shards with their slots and nodes.",
    arity=2,
    flags=LOADING | STALE,
    since="7.0.0",
    complexity="O(N), N = cluster nodes",
    tips=("nondeterministic_output",),
)(refuse)

cluster.command(
    "CLUSTER|SLAVES",
    summary="List the replicas of a master, by an old name.",
    arity=3,
    flags=ADMIN | STALE,
    since="3.0.0",
    complexity="O(N), N = replicas",
    tips=("nondeterministic_output",),
    syntax="node-id",
    deprecated=("5.0.0", "CLUSTER REPLICAS"),
)(refuse)

cluster.command(
    "CLUSTER|SLOTS",
    summary="List ranges of hash slots with their nodes.",
    arity=2,
    flags=LOADING | STALE,
    since="3.0.0",
    complexity="O(N), N = Cluster nodes",
    history=(("4.0.0", "Node ids."), ("7.0.0", "Further metadata of the network.")),
    tips=("nondeterministic_output",),
    deprecated=("7.0.0", "CLUSTER SHARDS"),
)(refuse)

cluster.command(
    "READONLY",
    summary="Let this connection read from a replica of a cluster.",
    arity=1,
    flags=LOADING | STALE | FAST,
    since="3.0.0",
    complexity="O(1)",
    acl=("connection",),
)(refuse)

cluster.command(
    "READWRITE",
    summary="Take READONLY back.",
    arity=1,
    flags=LOADING | STALE | FAST,
    since="3.0.0",
    complexity="O(1)",
    acl=("connection",),
)(refuse)
