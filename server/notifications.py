"""Keyspace notifications: changes published on `__keyspace@N__:key` and `__keyevent@N__:event`.

Listens to the seam only while `notify-keyspace-events` asks for something and somebody is subscribed to anything, so
that it costs nothing when off or unheard.
"""

from __future__ import annotations

from server.config.special import (
    NOTIFY_KEYEVENT,
    NOTIFY_KEYSPACE,
    NOTIFY_MISS,
    NOTIFY_NEW,
    class_bit,
)

TYPE_CHECKING = False
if TYPE_CHECKING:

    from server.config.configuration import Config
    from server.pubsub import PubSub
    from server.services import Services
    from server.session import Session
    from storage.database import Database
    from storage.events import Event


class Notifications:
    """Publishes events of the classes that the configuration names."""

    def __init__(self, services: Services, pubsub: PubSub) -> None:
        self.services = services
        self.pubsub = pubsub
        self.mask = 0
        self.follow(services.config)
        pubsub.on_audience.append(lambda: self.follow(services.config))

    def follow(self, config: Config) -> None:
        """Obey `notify-keyspace-events`: now, after CONFIG SET, when the first subscriber comes or the last goes."""
        self.mask = config.notify_keyspace_events
        heard = self.mask & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT) if self.pubsub.has_audience else 0
        keyspace = self.services.keyspace
        keyspace.hears_misses = bool(heard and self.mask & NOTIFY_MISS)
        keyspace.hears_new = bool(heard and self.mask & NOTIFY_NEW)
        if heard:
            self.services.dispatch.listen(self)
        else:
            self.services.dispatch.unlisten(self)

    def note(self, db: Database, key: bytes | None, event: Event, session: Session | None) -> None:
        mask = self.mask
        if key is None or not mask & class_bit(event.letter):
            return
        if mask & NOTIFY_KEYSPACE:
            self.pubsub.publish(b"__keyspace@%d__:%b" % (db.number, key), event.name)
        if mask & NOTIFY_KEYEVENT:
            self.pubsub.publish(b"__keyevent@%d__:%b" % (db.number, event.name), key)
