"""Channels, patterns and shard channels: who listens, and delivering a message.

A message is encoded once for each RESP version, however many receive it, and appended to each subscriber's output; one
that does not read is dropped by its output limit. Owns the tables of subscribers; must not know keys or commands.
"""

from __future__ import annotations

from protocol.encoder import RESP2, RESP3
from protocol.reply import Push
from server import admission
from storage.globbing import compile_glob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Sequence

    from server.session import Session

    Subscribers = Dict[Session, None]


class Subscriptions:
    """What one session listens to; dictionaries keep the order of subscribing."""

    __slots__ = ("channels", "patterns", "shard_channels")

    def __init__(self) -> None:
        self.channels: Dict[bytes, None] = {}
        self.patterns: Dict[bytes, None] = {}
        self.shard_channels: Dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self.channels) + len(self.patterns) + len(self.shard_channels)


class Kind:
    """One of the three ways to subscribe: its words and its table of subscribers."""

    __slots__ = ("attribute", "subscribed", "unsubscribed", "subscribers")

    def __init__(self, attribute: str, subscribed: bytes, unsubscribed: bytes) -> None:
        self.attribute = attribute
        self.subscribed = subscribed
        self.unsubscribed = unsubscribed
        self.subscribers: Dict[bytes, Subscribers] = {}

    def names_of(self, session: Session) -> Dict[bytes, None]:
        names: Dict[bytes, None] = getattr(session.subscriptions, self.attribute)
        return names


class PubSub:
    """Publishing is O(subscribers of the channel + patterns)."""

    def __init__(self) -> None:
        self.channels = Kind("channels", b"subscribe", b"unsubscribe")
        self.patterns = Kind("patterns", b"psubscribe", b"punsubscribe")
        self.shard_channels = Kind("shard_channels", b"ssubscribe", b"sunsubscribe")
        self.matchers: Dict[bytes, Callable[[bytes], bool]] = {}
        self.on_audience: List[Callable[[], None]] = []  # called when `has_audience` has changed

    @property
    def has_audience(self) -> bool:
        """Whether a message could be heard by anybody."""
        return bool(self.channels.subscribers or self.matchers)

    # Subscribing -----------------------------------------------------------------------------------------------

    def subscribe(self, session: Session, kind: Kind, names: Sequence[bytes]) -> List[Push]:
        """Subscribe; the confirmations of each name."""
        confirmations = []
        had_audience = self.has_audience
        if session.subscriptions is None:
            session.subscriptions = Subscriptions()
        own = kind.names_of(session)
        for name in names:
            if name not in own:
                own[name] = None
                kind.subscribers.setdefault(name, {})[session] = None
                if kind is self.patterns and name not in self.matchers:
                    self.matchers[name] = compile_glob(name)
            confirmations.append(Push([kind.subscribed, name, self.count(session, kind)]))
        self.settle_standing(session)
        self.tell_of_audience(had_audience)
        return confirmations

    def unsubscribe(self, session: Session, kind: Kind, names: Sequence[bytes]) -> List[Push]:
        """Unsubscribe from `names`, from everything of this kind if there are none; the confirmations of each."""
        confirmations = []
        had_audience = self.has_audience
        if not names:
            names = list(kind.names_of(session)) if session.subscriptions is not None else []
            if not names:
                confirmations.append(Push([kind.unsubscribed, None, self.count(session, kind)]))
        for name in names:
            self._drop(session, kind, name)
            confirmations.append(Push([kind.unsubscribed, name, self.count(session, kind)]))
        self.settle_standing(session)
        self.tell_of_audience(had_audience)
        return confirmations

    def tell_of_audience(self, before: bool) -> None:
        if self.has_audience is not before:
            for call in self.on_audience:
                call()

    def _drop(self, session: Session, kind: Kind, name: bytes) -> None:
        if session.subscriptions is None or name not in kind.names_of(session):
            return
        del kind.names_of(session)[name]
        subscribers = kind.subscribers[name]
        del subscribers[session]
        if not subscribers:
            del kind.subscribers[name]
            if kind is self.patterns:
                del self.matchers[name]

    def forget(self, session: Session) -> None:
        """Leave every channel without a word: RESET, or the client is gone."""
        if session.subscriptions is not None:
            for kind in (self.channels, self.patterns, self.shard_channels):
                self.unsubscribe(session, kind, ())

    def count(self, session: Session, kind: Kind) -> int:
        """The number in a confirmation: channels and patterns together, shard channels by themselves."""
        subscriptions = session.subscriptions
        if subscriptions is None:
            return 0
        if kind is self.shard_channels:
            return len(subscriptions.shard_channels)
        return len(subscriptions.channels) + len(subscriptions.patterns)

    def settle_standing(self, session: Session) -> None:
        """What subscriptions change for the session itself: its class of limits, and in RESP2 what it may do."""
        listens = session.subscriptions is not None and len(session.subscriptions) > 0
        session.set_mode(admission.SUBSCRIBED, listens and session.resp == 2)
        if session.kind in (b"normal", b"pubsub"):
            session.kind = b"pubsub" if listens else b"normal"

    # Publishing ------------------------------------------------------------------------------------------------

    def publish(self, channel: bytes, message: bytes) -> int:
        """Deliver to subscribers of the channel, then of each matching pattern; returns how many deliveries."""
        receivers = self._deliver(self.channels.subscribers.get(channel), [b"message", channel, message])
        if self.matchers:
            for pattern, matches in self.matchers.items():
                if matches(channel):
                    receivers += self._deliver(
                        self.patterns.subscribers[pattern], [b"pmessage", pattern, channel, message]
                    )
        return receivers

    def publish_sharded(self, channel: bytes, message: bytes) -> int:
        return self._deliver(self.shard_channels.subscribers.get(channel), [b"smessage", channel, message])

    def _deliver(self, subscribers: Subscribers | None, frame: List[Any]) -> int:
        if not subscribers:
            return 0
        encoded: Dict[int, bytes] = {}
        push = Push(frame)
        for session in subscribers:
            data = encoded.get(session.resp)
            if data is None:
                data = encoded[session.resp] = (RESP3 if session.resp == 3 else RESP2)[Push](push)
            session.push_encoded(data)
        return len(subscribers)
