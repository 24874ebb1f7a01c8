"""`maxmemory-clients`: closing the clients that hold most, until all together hold less.

Owns the sum of what clients hold. It is kept along: at the end of each turn only those are weighed again that were
served in it or have much to read; a large vector is weighed before it runs. So the limit is kept from one command to
the next, at O(clients served) a turn. The sum may be too high, when somebody has read meanwhile: before anybody is
closed all are weighed. Without a limit nothing here runs: `admission.CLIENTS_LIMITED` is not set.

How much a client holds is `client_description.memory_of`, which CLIENT LIST shows.
"""

from __future__ import annotations

from protocol.reply import Verbatim
from server import admission
from server.client_description import describe, memory_of
from server.log import NOTICE, shown
from server.session import CLOSING, DOOMED
from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Sequence

    from server.config.configuration import Config
    from server.reactor import Reactor
    from server.services import Services
    from server.session import Session

LEAST_LIMIT = 128 * 1024  # as in Redis: with less, whoever asks to have it raised would be evicted
LARGE_VECTOR = 16 * 1024  # bytes; smaller ones are gone before they could matter
FIRST_BUCKET_BITS, LAST_BUCKET_BITS = 15, 32  # of DEBUG CLIENT-EVICTION: up to 32 KiB, from 4 GiB on
EVICTABLE = frozenset((b"normal", b"pubsub"))


def weight_of(session: Session) -> int:
    """What a client holds; of one that is about to be closed only what it has still to read."""
    return session.out_bytes if session.halted & (CLOSING | DOOMED) else memory_of(session)


class ClientMemory:
    """Keeps the limit of one server."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.reactor = reactor
        self.limit = 0
        self.weights: Dict[Session, int] = {}
        self.total = 0
        self.evicted = 0
        services.config.on_change("maxmemory", self.follow)
        services.config.on_change("maxmemory-clients", self.follow)
        services.info.provide("evicted_clients", lambda: self.evicted)
        services.info.on_reset.append(self.reset)
        services.debug_subcommands[b"CLIENT-EVICTION"] = (0, 0, self.tell_buckets)
        services.clients.on_forget.append(self.forget)
        self.follow(services.config)

    def reset(self) -> None:
        self.evicted = 0

    def follow(self, config: Config) -> Optional[str]:
        """The limit is another one; a negative one is a percentage of `maxmemory`."""
        limit = config.maxmemory_clients
        if limit < 0:
            limit = config.maxmemory * -limit // 100
        self.limit = max(limit, LEAST_LIMIT) if limit else 0
        steps = self.reactor.before_sleep
        if self.limit:
            self.services.dispatch.mode |= admission.CLIENTS_LIMITED
            self.services.clients.grown = {}
            self.weigh_all()
            if self.before_sleeping not in steps:
                steps.append(self.before_sleeping)  # after those who make output
        else:
            self.services.dispatch.mode &= ~admission.CLIENTS_LIMITED
            self.services.clients.grown = None
            self.weights.clear()
            self.total = 0
        self.services.clients.follow_output_limits(config)
        return None

    def forget(self, session: Session) -> None:
        self.total -= self.weights.pop(session, 0)

    def check(self, session: Session, argv: Sequence[bytes]) -> bool:
        """Make room for a vector that is about to run; True if its own client had to go for it."""
        size = sum(map(len, argv))
        if size < LARGE_VECTOR:
            return False
        self.weigh(session)
        if self.total + size > self.limit:
            self.evict(session, size)
        return self.services.clients.by_id.get(session.id) is not session

    def before_sleeping(self) -> None:
        """Weigh who was served, woken or sent much in this turn."""
        if not self.limit:
            return
        for connection in self.reactor.running:
            self.weigh(connection.session)
        for session in self.services.unsent:
            self.weigh(session)
        grown = self.services.clients.grown
        if grown:
            for session in grown:
                self.weigh(session)
            grown.clear()
        if self.total > self.limit:
            self.evict()

    def tell_buckets(self, ctx: Session, argv: Sequence[bytes]) -> Verbatim:
        """DEBUG CLIENT-EVICTION: how many clients hold how much, by powers of two."""
        if not self.limit:
            raise CommandError(b"ERR maxmemory-clients is disabled.")
        lines = []
        least = 0
        for bits in range(FIRST_BUCKET_BITS, LAST_BUCKET_BITS + 2):
            is_last = bits > LAST_BUCKET_BITS
            bound = "+            " if is_last else " - %10d" % ((1 << bits) - 1)
            held = [weight for weight in self.weights.values() if least <= weight and (is_last or weight < 1 << bits)]
            lines.append("bucket %10d%s: tot-mem: %10d, clients: %d\n" % (least, bound, sum(held), len(held)))
            least = 1 << bits
        return Verbatim(b"txt", "".join(lines).encode())

    def weigh(self, session: Session) -> None:
        if session.kind in EVICTABLE and session.id in self.services.clients.by_id:
            weight = weight_of(session)
            self.total += weight - self.weights.get(session, 0)
            self.weights[session] = weight

    def weigh_all(self) -> None:
        self.weights = {session: weight_of(session) for session in self.services.clients if session.kind in EVICTABLE}
        self.total = sum(self.weights.values())

    def evict(self, running: Optional[Session] = None, size: int = 0) -> None:
        """Close the clients that hold most. `size` is what the vector takes that one of them is about to run."""
        self.weigh_all()
        if running is not None:
            self.weights[running] = self.weights.get(running, 0) + size
            self.total += size
        for session in sorted(self.weights, key=self.weights.__getitem__, reverse=True):
            if self.total <= self.limit:
                break
            if session.no_evict:
                continue
            described = shown(describe(session))
            self.services.log.provoked("Evicting client: " + described, NOTICE)
            self.evicted += 1
            self.services.clients.kill(session)
        if running in self.weights:
            self.weigh_all()
