"""Delivering to many: what one message costs, counted in process."""

from __future__ import annotations

from types import SimpleNamespace

from protocol import encoder
from protocol.reply import Push
from server.pubsub import PubSub
from server.session import Session
from storage.clock import ManualClock
from storage.keyspace import Keyspace

SUBSCRIBERS = 10_000


def crowd(pubsub: PubSub, count: int) -> list[Session]:
    services = SimpleNamespace(
        keyspace=Keyspace(1, ManualClock()),
        unsent=[],
        clients=SimpleNamespace(judged_from=1 << 62),
        pubsub=pubsub,
        dispatch=SimpleNamespace(current=None),
    )
    sessions = [Session(number, services) for number in range(count)]
    for number, session in enumerate(sessions):
        session.speak(3 if number % 2 else 2)
        pubsub.subscribe(session, pubsub.channels, [b"c"])
        session.out.clear()
    return sessions


def test_a_message_is_encoded_once_for_each_protocol_version():
    pubsub = PubSub()
    sessions = crowd(pubsub, SUBSCRIBERS)
    assert pubsub.publish(b"c", b"x" * 1000) == SUBSCRIBERS
    for version in (2, 3):
        chunks = {id(session.out[0]) for session in sessions if session.resp == version}
        assert len(chunks) == 1  # one object in every output, so it was encoded once and never copied
    expected = Push([b"message", b"c", b"x" * 1000])
    assert sessions[0].out == [encoder.RESP2[Push](expected)]
    assert sessions[1].out == [encoder.RESP3[Push](expected)]


def test_a_pattern_that_nobody_uses_any_more_is_forgotten():
    pubsub = PubSub()
    (session,) = crowd(pubsub, 1)
    pubsub.subscribe(session, pubsub.patterns, [b"a*"])
    assert pubsub.publish(b"ab", b"x") == 1
    pubsub.forget(session)
    assert not pubsub.matchers and not pubsub.patterns.subscribers and not pubsub.channels.subscribers
    assert pubsub.publish(b"ab", b"x") == 0
