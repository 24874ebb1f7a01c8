"""What one listener hears of random commands: keyspace notifications and invalidations, after each of them.

The listener speaks RESP3, is subscribed to every notification of every class, and tracks by broadcast, so that it also
hears of changes that are not announced. After each command it asks PING, which comes behind everything that the
command caused.
"""

from __future__ import annotations

from tests.harness.wire import Closed, Timeout, Wire, encode, plain
from tests.oracle.comparison import command_name
from tests.oracle.episodes import NO_REPLY, Pair, show
from tests.oracle.generators import Generator

EPISODE_COMMANDS = 400
CONSUMERS_MADE = ("XREADGROUP", "XCLAIM", "XAUTOCLAIM")  # since 7.2 also where they find nothing
UNORDERED = ("SORT", "SORT_RO")  # looks its patterns up in the order in which the container happens to lie


def listen(wire: Wire, classes: str) -> None:
    wire.command("CONFIG", "SET", "notify-keyspace-events", classes)
    wire.command("CLIENT", "TRACKING", "ON", "BCAST")
    wire.command("PSUBSCRIBE", "__key*__:*")


def hear(wire: Wire) -> list:
    """Everything up to the answer to PING: messages as (channel, event), invalidations as they are."""
    wire.send(encode("PING", "end of it"))
    heard = []
    while True:
        frame = wire.read()
        if frame[0] != b">":
            assert plain(frame) == b"end of it"
            return heard
        frame = plain(frame)
        heard.append(tuple(frame[2:]) if frame[0] == b"pmessage" else frame)


def echoes_differ(pair: Pair, group: str, seed: str, count: int):
    """Run one episode; the first command of which the listeners heard different things, as text, or None.

    Also returns how many commands were compared. Replies that differ end the episode: others compare those.
    """
    commands = Generator(group, seed, pair.is_known).take(count)
    pair.reset(2)
    listeners = [server.wire(protocol=3) for server in (pair.real, pair.own)]
    try:
        for wire in listeners:
            # Before 7.4 several commands looked keys up in another order, or twice.
            listen(wire, "KAn" if pair.is_older else "KAnm")
            hear(wire)
        for index, argv in enumerate(commands):
            (real, own) = pair.send([argv])[0]
            if NO_REPLY in (real, own) or not pair.judge(argv, real, own):
                return index, None
            heard = [hear(wire) for wire in listeners]
            name = command_name(argv)
            if name in UNORDERED:
                heard = [len(messages) for messages in heard]
            if heard[0] != heard[1]:
                if pair.is_older and name in CONSUMERS_MADE:
                    return index, None
                keys = set(argv[1:])
                before = [show(other) for other in commands[:index] if keys & set(other[1:])][-8:]
                return index, (
                    f"{name} of {group}, seed {seed}: {show(argv)}\n  replies {real[:80]!r}\n"
                    f"  heard from the real server {heard[0]}\n  heard from this one        {heard[1]}\n  before it: "
                    + "\n             ".join(before)
                )
    except (Closed, Timeout) as error:
        return 0, f"{group}, seed {seed}: {error!r}"
    finally:
        for wire in listeners:
            wire.close()
    return len(commands), None
