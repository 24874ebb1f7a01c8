"""Stream commands without sockets: the facts they state, and the operations that replay to the same state."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from protocol.reply import NULL_ARRAY, OK, Block
from server.commands import stream_groups, stream_reading, streams
from server.registry import Registry
from storage.types.list import List
from storage.types.stream import Stream
from tests.harness.handlers import Desk

WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
HANDLERS = {
    b"XADD": streams.xadd,
    b"XTRIM": streams.xtrim,
    b"XDEL": streams.xdel,
    b"XSETID": streams.xsetid,
    b"XACK": stream_groups.xack,
    b"XCLAIM": stream_groups.xclaim,
    b"XAUTOCLAIM": stream_groups.xautoclaim,
    b"XREADGROUP": stream_reading.xreadgroup,
    b"CREATE": stream_groups.xgroup_create,
    b"SETID": stream_groups.xgroup_setid,
    b"DESTROY": stream_groups.xgroup_destroy,
    b"CREATECONSUMER": stream_groups.xgroup_createconsumer,
    b"DELCONSUMER": stream_groups.xgroup_delconsumer,
}


def new_desk() -> Desk:
    desk = Desk()
    server = desk.session.server
    server.dispatch = SimpleNamespace(mode=0)
    server.registry = Registry.of([streams.streams, stream_groups.groups, stream_reading.reading])
    return desk


@pytest.fixture
def desk():
    return new_desk()


def do(desk: Desk, text: str):
    words = text.split()
    return run(desk, [word.encode() for word in words])


def run(desk: Desk, argv):
    name = argv[0].upper()
    return desk.run(HANDLERS[argv[1].upper() if name == b"XGROUP" else name], *argv)


def prepared(desk: Desk, entries: int = 3, read: int = 0) -> None:
    for number in range(1, entries + 1):
        do(desk, f"XADD s {number}-0 f {number}")
    do(desk, "XGROUP CREATE s g 0")
    if read:
        do(desk, f"XREADGROUP GROUP g c COUNT {read} STREAMS s >")


# Facts and propagated forms --------------------------------------------------------------------------------


def test_xadd_propagates_the_id_it_made(desk):
    desk.keyspace.clock.advance(5)
    text = do(desk, "XADD s * f v")
    assert desk.events == [(b"s", b"xadd", 1)]
    assert desk.propagated == [(b"XADD", b"s", text, b"f", b"v")]
    do(desk, "XADD s NOMKSTREAM 99999999999999-* f v")
    assert desk.propagated == [(b"XADD", b"s", b"NOMKSTREAM", b"99999999999999-0", b"f", b"v")]


def test_xadd_that_makes_nothing_states_nothing(desk):
    assert do(desk, "XADD s NOMKSTREAM * f v") is None
    assert (desk.events, desk.propagated, len(desk.db)) == ([], None, 0)


def test_trimming_by_nodes_propagates_what_it_came_to(desk):
    desk.keyspace.limits.stream_node_max_entries = 2
    prepared(desk, 5)
    do(desk, "XADD s MAXLEN ~ 3 LIMIT 10 6-0 f v")
    assert desk.events == [(b"s", b"xadd", 1), (b"s", b"xtrim", 0)]
    assert desk.propagated == [
        (b"XADD", b"s", b"MAXLEN", b"=", b"4", b"LIMIT", b"10", b"6-0", b"f", b"v")
    ]
    assert do(desk, "XTRIM s MINID ~ 6-0") == 2
    assert desk.events == [(b"s", b"xtrim", 2)]
    assert desk.propagated == [(b"XTRIM", b"s", b"MINID", b"=", b"5-0")]


def test_a_copy_obeys_a_limit_that_came_with_an_exact_length(desk):
    from server.admission import IS_MASTER

    prepared(desk, 5)
    assert do(desk, "XTRIM s MAXLEN = 2 LIMIT 1") == (
        b"ERR syntax error, LIMIT cannot be used without the special ~ option"
    )
    desk.session.mode |= IS_MASTER
    assert do(desk, "XTRIM s MAXLEN = 2 LIMIT 1") == 3


@pytest.mark.parametrize(
    ("command", "reply", "event"),
    [
        ("XDEL s 1-0 2-0 9-0", 2, (b"s", b"xdel", 2)),
        ("XSETID s 9-0", OK, (b"s", b"xsetid", 1)),
        ("XGROUP CREATE s h $", OK, (b"s", b"xgroup-create", 1)),
        ("XGROUP SETID s g 2", OK, (b"s", b"xgroup-setid", 1)),
        ("XGROUP CREATECONSUMER s g d", 1, (b"s", b"xgroup-createconsumer", 1)),
        ("XGROUP DELCONSUMER s g c", 2, (b"s", b"xgroup-delconsumer", 1)),
        ("XGROUP DESTROY s g", 1, (b"s", b"xgroup-destroy", 1)),
    ],
)
def test_a_change_is_stated_once_and_goes_on_as_it_came(desk, command, reply, event):
    prepared(desk, 3, read=2)
    assert do(desk, command) == reply
    assert desk.events == [event]
    assert desk.propagated is None


@pytest.mark.parametrize(
    "command",
    ["XDEL s 9-0", "XTRIM s MAXLEN 5", "XACK s g 3-0", "XGROUP DESTROY s h", "XGROUP CREATECONSUMER s g c"],
)
def test_what_changes_nothing_states_nothing(desk, command):
    prepared(desk, 3, read=2)
    assert do(desk, command) == 0
    assert (desk.events, desk.propagated) == ([], None)


def test_an_acknowledgement_is_no_event_but_goes_on(desk):
    prepared(desk, 3, read=2)
    assert do(desk, "XACK s g 1-0") == 1
    assert desk.events == []
    assert desk.propagated == [(b"XACK", b"s", b"g", b"1-0")]


def test_a_read_of_a_group_goes_on_as_claims_and_a_position(desk):
    prepared(desk)
    desk.keyspace.clock.advance(7)
    now = b"%d" % desk.keyspace.clock.now_ms
    do(desk, "XREADGROUP GROUP g c COUNT 2 STREAMS s >")
    assert desk.propagated == [
        *(
            (b"XCLAIM", b"s", b"g", b"c", b"0", entry, b"TIME", now, b"RETRYCOUNT", b"1", b"FORCE", b"JUSTID",
             b"LASTID", entry)
            for entry in (b"1-0", b"2-0")
        ),
        (b"XGROUP", b"SETID", b"s", b"g", b"2-0", b"ENTRIESREAD", b"2"),
    ]  # fmt: skip
    do(desk, "XREADGROUP GROUP g d NOACK STREAMS s >")
    assert desk.propagated == [
        (b"XGROUP", b"CREATECONSUMER", b"s", b"g", b"d"),
        (b"XGROUP", b"SETID", b"s", b"g", b"3-0", b"ENTRIESREAD", b"3"),
    ]


def test_a_read_that_finds_nothing_blocks_and_sends_nothing_on(desk):
    prepared(desk, 1, read=1)
    reply = do(desk, "XREADGROUP GROUP g c BLOCK 50 STREAMS s >")
    assert isinstance(reply, Block) and reply.wakes_on_loss and reply.timeout_ms == 50
    assert reply.on_timeout is NULL_ARRAY
    assert desk.propagated == []


def test_a_waiting_reader_keeps_the_end_it_came_to(desk):
    prepared(desk, 3)
    reply = desk.run(stream_reading.xread, "XREAD", "BLOCK", "0", "STREAMS", "s", "t", "$", "5")
    assert list(reply.again) == [b"XREAD", b"BLOCK", b"0", b"STREAMS", b"s", b"t", b"3-0", b"5"]


def test_a_deleted_entry_leaves_the_pending_list_when_it_is_claimed(desk):
    prepared(desk, 3, read=3)
    do(desk, "XDEL s 2-0")
    assert do(desk, "XCLAIM s g d 0 1-0 2-0 JUSTID") == [b"1-0"]
    assert do(desk, "XAUTOCLAIM s g d 0 0 JUSTID") == [b"0-0", [b"1-0", b"3-0"], []]
    do(desk, "XDEL s 3-0")
    assert do(desk, "XAUTOCLAIM s g e 0 2 JUSTID") == [b"0-0", [], [b"3-0"]]
    group = desk.db.peek(b"s").groups[b"g"]
    assert list(group.pending.walk()) == [1 << 64]
    assert group.pending.by_id[1 << 64].deliveries == 1


def test_claims_wait_until_an_entry_is_idle_for_long_enough(desk):
    prepared(desk, 2, read=2)
    desk.keyspace.clock.advance(100)
    assert do(desk, "XCLAIM s g d 101 1-0 JUSTID") == []
    assert do(desk, "XAUTOCLAIM s g d 101 0 JUSTID") == [b"0-0", [], []]
    assert do(desk, "XCLAIM s g d 100 1-0 JUSTID") == [b"1-0"]
    assert do(desk, "XAUTOCLAIM s g d 100 0 JUSTID") == [b"0-0", [b"2-0"], []]


@pytest.mark.parametrize(
    "command",
    [
        "XADD l * f v",
        "XTRIM l MAXLEN 5",
        "XDEL l 1-1",
        "XSETID l 1-1",
        "XACK l g 1-1",
        "XCLAIM l g c 0 1-1",
        "XAUTOCLAIM l g c 0 0",
        "XREADGROUP GROUP g c STREAMS l >",
        "XGROUP CREATE l g 0 MKSTREAM",
        "XGROUP SETID l g 0",
        "XGROUP DESTROY l g",
        "XGROUP CREATECONSUMER l g c",
        "XGROUP DELCONSUMER l g c",
    ],
)
def test_a_list_is_no_stream(desk, command):
    desk.db.put(b"l", List())
    assert do(desk, command) == WRONG_TYPE
    assert desk.events == []


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (streams.xlen, "XLEN l"),
        (streams.xrange, "XRANGE l - +"),
        (streams.xrevrange, "XREVRANGE l + -"),
        (streams.xinfo_stream, "XINFO STREAM l"),
        (stream_groups.xinfo_groups, "XINFO GROUPS l"),
        (stream_groups.xinfo_consumers, "XINFO CONSUMERS l g"),
        (stream_groups.xpending, "XPENDING l g"),
        (stream_reading.xread, "XREAD STREAMS l 0"),
    ],
)
def test_a_list_is_not_read_as_a_stream(desk, handler, words):
    desk.db.put(b"l", List())
    assert desk.run(handler, *words.split()) == WRONG_TYPE


# Replaying -------------------------------------------------------------------------------------------------


def state(desk: Desk):
    """What two copies must agree on; consumers that hold nothing may exist on one only."""
    stream: Stream | None = desk.db.peek(b"s")
    if stream is None:
        return None
    stream._check()
    return (
        stream.log.entries(0, stream.last_id),
        stream.last_id,
        stream.max_deleted_id,
        stream.entries_added,
        {
            name: (
                group.last_id,
                group.entries_read,
                [
                    (entry_id, one.consumer.name, one.delivered_ms, one.deliveries)
                    for entry_id, one in ((i, group.pending.by_id[i]) for i in group.pending.walk())
                ],
            )
            for name, group in stream.groups.items()
        },
    )


def random_command(rng: random.Random, top: int) -> str:
    def old() -> str:
        return f"{rng.randrange(max(1, top - 15), top + 2)}-0"

    group, consumer = rng.choice("gh"), rng.choice("abc")
    olds = " ".join(old() for _ in range(rng.randrange(1, 5)))
    return rng.choice(
        [
            f"XADD s {top + 1}-* f {top}",
            "XADD s * f v",
            f"XADD s MAXLEN ~ {rng.randrange(40)} {top + 1}-0 f v",
            f"XADD s MINID ~ {old()} * f v",
            f"XTRIM s MAXLEN {rng.choice('~=')} {rng.randrange(30)}",
            f"XTRIM s MINID ~ {old()} LIMIT 4",
            f"XDEL s {olds}",
            f"XREADGROUP GROUP {group} {consumer} COUNT {rng.randrange(1, 6)} STREAMS s >",
            f"XREADGROUP GROUP {group} {consumer} NOACK COUNT 1 STREAMS s >",
            f"XACK s {group} {olds}",
            f"XCLAIM s {group} {consumer} {rng.choice((0, 20))} {olds} {rng.choice(('', 'FORCE', 'JUSTID'))}",
            f"XCLAIM s {group} {consumer} 0 {olds} IDLE 30 RETRYCOUNT 5 LASTID {old()}",
            f"XAUTOCLAIM s {group} {consumer} {rng.choice((0, 20))} {old()} COUNT {rng.randrange(1, 5)}",
            f"XGROUP CREATE s {group} {rng.choice(('0', '$', old()))} MKSTREAM ENTRIESREAD {rng.randrange(9)}",
            f"XGROUP DELCONSUMER s {group} {consumer}" if rng.random() < 0.2 else "XADD s * f v",
            f"XGROUP SETID s {group} $" if rng.random() < 0.2 else "XADD s * f v",
        ]
    )


@pytest.mark.parametrize("seed", range(8))
def test_what_goes_on_makes_the_same_stream_elsewhere(seed):
    from server.admission import IS_MASTER

    rng = random.Random(seed)
    ours, theirs = new_desk(), new_desk()
    theirs.session.mode |= IS_MASTER
    for desk in (ours, theirs):
        desk.keyspace.limits.stream_node_max_entries = 6
    delivered = 0
    for _ in range(600):
        step_ms = rng.randrange(12)
        ours.keyspace.clock.advance(step_ms)
        theirs.keyspace.clock.advance(step_ms + rng.choice((0, 0, 3)))
        stream = ours.db.peek(b"s")
        command = random_command(rng, 0 if stream is None else stream.last_id >> 64)
        do(ours, command)
        vectors = ours.propagated
        if vectors is None:
            vectors = [tuple(command.encode().split())] if ours.events else []
        for vector in vectors:
            run(theirs, vector)
        delivered += len(vectors)
        assert state(theirs) == state(ours), command
    assert delivered > 300
