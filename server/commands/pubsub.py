"""PUBLISH, SUBSCRIBE and PUBSUB, by name, by pattern and by shard channel.

Argument grammar and confirmations; who listens to what is `server.pubsub`.
"""

from __future__ import annotations

from protocol.reply import NO_REPLY, Multi
from server.keyspecs import NOT_KEY, key_range, one_key
from server.registry import FAST, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE, Group, subcommand_syntax
from server.session import REPLY_ON
from storage.errors import CommandError
from storage.globbing import compile_glob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence

    from protocol.reply import Push
    from server.pubsub import Kind
    from server.session import Session

    Argv = Sequence[bytes]

pubsub = Group("pubsub")


def subscribe_to(ctx: Session, kind: Kind, names: Argv) -> Any:
    return confirmed(ctx, ctx.server.pubsub.subscribe(ctx, kind, names))


def unsubscribe_from(ctx: Session, kind: Kind, names: Argv) -> Any:
    return confirmed(ctx, ctx.server.pubsub.unsubscribe(ctx, kind, names))


def confirmed(ctx: Session, confirmations: List[Push]) -> Any:
    """Confirmations stand where the reply would stand, in a transaction too, and are sent in silence too."""
    if ctx.reply_mode == REPLY_ON:
        return Multi(confirmations)
    for confirmation in confirmations:
        ctx.push(confirmation)
    return NO_REPLY


@pubsub.command(
    "SUBSCRIBE",
    arity=-2,
    flags=PUBSUB | NOSCRIPT | LOADING | STALE,
    since="2.0.0",
    complexity="O(N), N = channels",
    syntax="channel...",
)
def subscribe(ctx: Session, argv: Argv) -> Any:
    """Listen to channels."""
    return subscribe_to(ctx, ctx.server.pubsub.channels, argv[1:])


@pubsub.command(
    "PSUBSCRIBE",
    arity=-2,
    flags=PUBSUB | NOSCRIPT | LOADING | STALE,
    since="2.0.0",
    complexity="O(N), N = patterns",
    syntax="pattern...",
)
def psubscribe(ctx: Session, argv: Argv) -> Any:
    """Listen to every channel whose name matches a pattern."""
    return subscribe_to(ctx, ctx.server.pubsub.patterns, argv[1:])


@pubsub.command(
    "SSUBSCRIBE",
    arity=-2,
    flags=PUBSUB | NOSCRIPT | LOADING | STALE,
    keys=key_range(NOT_KEY),
    since="7.0.0",
    complexity="O(N), N = shard channels",
    syntax="shardchannel...",
)
def ssubscribe(ctx: Session, argv: Argv) -> Any:
    """Listen to shard channels. Unlike the other two, not even a transaction may."""
    if ctx.denies_blocking:
        raise CommandError(b"ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return subscribe_to(ctx, ctx.server.pubsub.shard_channels, argv[1:])


@pubsub.command(
    "UNSUBSCRIBE",
    arity=-1,
    flags=PUBSUB | NOSCRIPT | LOADING | STALE,
    since="2.0.0",
    complexity="O(N), N = channels",
    syntax="[channel...]",
)
def unsubscribe(ctx: Session, argv: Argv) -> Any:
    """Stop listening to some channels or to all of them."""
    return unsubscribe_from(ctx, ctx.server.pubsub.channels, argv[1:])


@pubsub.command(
    "PUNSUBSCRIBE",
    arity=-1,
    flags=PUBSUB | NOSCRIPT | LOADING | STALE,
    since="2.0.0",
    complexity="O(N), N = patterns",
    syntax="[pattern...]",
)
def punsubscribe(ctx: Session, argv: Argv) -> Any:
    """Stop listening by some patterns or by all of them."""
    return unsubscribe_from(ctx, ctx.server.pubsub.patterns, argv[1:])


@pubsub.command(
    "SUNSUBSCRIBE",
    arity=-1,
    flags=PUBSUB | NOSCRIPT | LOADING | STALE,
    keys=key_range(NOT_KEY),
    since="7.0.0",
    complexity="O(N), N = shard channels",
    syntax="[shardchannel...]",
)
def sunsubscribe(ctx: Session, argv: Argv) -> Any:
    """Stop listening to some shard channels or to all of them."""
    return unsubscribe_from(ctx, ctx.server.pubsub.shard_channels, argv[1:])


@pubsub.command(
    "PUBLISH",
    arity=3,
    flags=PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE,
    since="2.0.0",
    complexity="O(N+M), N = subscribers of the channel, M = pattern subscriptions of all clients",
    syntax="channel message",
)
def publish(ctx: Session, argv: Argv) -> int:
    """Send a message to a channel and count who received it."""
    ctx.propagate_to_replicas(*argv)
    count: int = ctx.server.pubsub.publish(argv[1], argv[2])
    return count


@pubsub.command(
    "SPUBLISH",
    arity=3,
    flags=PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE,
    keys=one_key(NOT_KEY),
    since="7.0.0",
    complexity="O(N), N = clients subscribed to the receiving shard channel",
    syntax="shardchannel message",
)
def spublish(ctx: Session, argv: Argv) -> int:
    """Send a message to a shard channel and count who received it."""
    ctx.propagate_to_replicas(*argv)
    count: int = ctx.server.pubsub.publish_sharded(argv[1], argv[2])
    return count


pubsub.container(
    "PUBSUB",
    since="2.8.0",
    summary="A container of the commands that tell who listens to what.",
    help_since="6.2.0",
)


def names_of(kind: Kind, argv: Argv) -> list[bytes]:
    if len(argv) == 2:
        return list(kind.subscribers)
    matches = compile_glob(argv[2])
    return [name for name in kind.subscribers if matches(name)]


def numbers_of(kind: Kind, names: Argv) -> list[Any]:
    numbers: list[Any] = []
    for name in names:
        numbers += [name, len(kind.subscribers.get(name, ()))]
    return numbers


@pubsub.command(
    "PUBSUB|CHANNELS",
    arity=-2,
    flags=PUBSUB | LOADING | STALE,
    since="2.8.0",
    complexity="O(N), N = channels with subscribers",
    syntax="[pattern]",
)
def pubsub_channels(ctx: Session, argv: Argv) -> list[bytes]:
    """List the channels that somebody listens to."""
    too_many(argv, 3)
    return names_of(ctx.server.pubsub.channels, argv)


@pubsub.command(
    "PUBSUB|SHARDCHANNELS",
    arity=-2,
    flags=PUBSUB | LOADING | STALE,
    since="7.0.0",
    complexity="O(N), N = shard channels with subscribers",
    syntax="[pattern]",
)
def pubsub_shardchannels(ctx: Session, argv: Argv) -> list[bytes]:
    """List the shard channels that somebody listens to."""
    too_many(argv, 3)
    return names_of(ctx.server.pubsub.shard_channels, argv)


def too_many(argv: Argv, most: int) -> None:
    if len(argv) > most:
        raise CommandError(subcommand_syntax(argv))


@pubsub.command(
    "PUBSUB|NUMSUB",
    arity=-2,
    flags=PUBSUB | LOADING | STALE,
    since="2.8.0",
    complexity="O(N), N = channels asked for",
    syntax="[channel...]",
)
def pubsub_numsub(ctx: Session, argv: Argv) -> list[Any]:
    """Count the subscribers of channels."""
    return numbers_of(ctx.server.pubsub.channels, argv[2:])


@pubsub.command(
    "PUBSUB|SHARDNUMSUB",
    arity=-2,
    flags=PUBSUB | LOADING | STALE,
    since="7.0.0",
    complexity="O(N), N = shard channels asked for",
    syntax="[shardchannel...]",
)
def pubsub_shardnumsub(ctx: Session, argv: Argv) -> list[Any]:
    """Count the subscribers of shard channels."""
    return numbers_of(ctx.server.pubsub.shard_channels, argv[2:])


@pubsub.command(
    "PUBSUB|NUMPAT",
    arity=2,
    flags=PUBSUB | LOADING | STALE,
    since="2.8.0",
    complexity="O(1)",
)
def pubsub_numpat(ctx: Session, argv: Argv) -> int:
    """Count the patterns that somebody listens by."""
    return len(ctx.server.pubsub.patterns.subscribers)
