"""Publish and subscribe under load and at its edges; what is said to whom stands in tests/oracle."""

from __future__ import annotations

import time

import pytest

from tests.harness.wire import Closed, Timeout, encode, encode_all


def test_a_subscriber_that_does_not_read_is_dropped_and_the_others_hear_everything(start_server):
    server = start_server("--client-output-buffer-limit", "pubsub 4mb 0 0")
    message = b"m" * (256 * 1024)
    with server.wire() as deaf, server.wire() as listener, server.wire() as publisher:
        deaf.command("SUBSCRIBE", "c")
        listener.command("SUBSCRIBE", "c")
        receivers = []
        for _ in range(80):
            publisher.send(encode("PUBLISH", "c", message))
            receivers.append(publisher.read()[1])
            assert listener.read()[1][2] == (b"$", message)
        assert receivers[0] == b"2"
        assert receivers[-1] == b"1"  # the kernel holds some, the limit is 4 MB: long before 20 MB
        counted = publisher.ask("INFO", "stats").split(b"client_output_buffer_limit_disconnections:")[1]
        assert counted.startswith(b"1\r\n")
        with pytest.raises((Closed, Timeout)):
            for _ in range(80):
                deaf.read(timeout_s=5)


def test_a_subscriber_that_goes_is_no_subscriber(server, wire):
    with server.wire() as other:
        other.command("SUBSCRIBE", "c")
        assert wire.ask("PUBLISH", "c", "x") == 1
    deadline = time.monotonic() + 5
    while wire.ask("PUBSUB", "NUMSUB", "c") != [b"c", 0]:
        assert time.monotonic() < deadline
    assert wire.ask("PUBSUB", "CHANNELS") == []


def test_messages_keep_their_order_among_the_replies_of_a_pipeline(wire3):
    wire3.command("SUBSCRIBE", "c")
    wire3.send(encode_all([[b"PUBLISH", b"c", b"1"], [b"SET", b"k", b"v"], [b"PUBLISH", b"c", b"2"], [b"GET", b"k"]]))
    kinds = [wire3.read()[0] for _ in range(6)]
    assert kinds == [b":", b">", b"+", b":", b">", b"$"]


def test_a_message_to_oneself_from_a_transaction_follows_the_reply_to_all_of_it(wire3):
    wire3.command("SUBSCRIBE", "c")
    publish = [b"PUBLISH", b"c", b"1"]
    wire3.send(encode_all([[b"MULTI"], publish, [b"SET", b"k", b"v"], [b"EXEC"], publish, [b"GET", b"k"]]))
    kinds = [wire3.read()[0] for _ in range(8)]
    assert kinds == [b"+", b"+", b"+", b"*", b">", b":", b">", b"$"]


def test_silence_does_not_hide_messages(server, wire3):
    wire3.send(encode_all([[b"CLIENT", b"REPLY", b"OFF"], [b"SUBSCRIBE", b"c"], [b"PING"]]))
    assert wire3.read()[0] == b">"  # the confirmation is no reply
    with server.wire() as other:
        other.command("PUBLISH", "c", "x")
    kind, (word, _, message) = wire3.read()
    assert (kind, word[1], message[1]) == (b">", b"message", b"x")


def test_a_message_may_be_any_bytes(server, wire):
    channel, message = b"\x00\r\n*\xff", bytes(range(256)) * 300
    wire.command("SUBSCRIBE", channel)
    with server.wire() as other:
        assert other.ask("PUBLISH", channel, message) == 1
    assert wire.read()[1][1:] == [(b"$", channel), (b"$", message)]


def test_redis_py_listens(client):
    pubsub = client.pubsub()
    pubsub.subscribe("news")
    pubsub.psubscribe("n*")
    assert [pubsub.get_message(timeout=2)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
    assert client.publish("news", "today") == 2
    assert [pubsub.get_message(timeout=2)["data"] for _ in range(2)] == [b"today", b"today"]
    pubsub.close()
