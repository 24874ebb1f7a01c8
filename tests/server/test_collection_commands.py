"""Lists, hashes and sets: what goes to the log and the replicas, and what fields with deadlines look like in time."""

from __future__ import annotations

import pytest

from server.commands import all_groups
from server.registry import Registry
from server.services import Services
from server.session import Session
from storage.clock import ManualClock
from storage.keyspace import Keyspace

NOW_MS = 1_700_000_000_000


class Defaults:
    lazyfree_lazy_server_del = False


@pytest.fixture
def session():
    services = Services()
    services.keyspace = Keyspace(1, ManualClock(NOW_MS))
    services.registry = Registry.of(all_groups())
    services.config = Defaults()
    services.keyspace.record(True)
    return Session(1, services)


def run(session, line):
    """Run a command; return its reply and what is propagated (None stands for the command's own words)."""
    argv = line.encode().split()
    session.propagation = None
    reply = session.registry.resolve(argv).handler(session, argv)
    forms, session.propagation = session.propagation, None
    return reply, None if forms is None else [b" ".join(form).decode() for form in forms]


@pytest.mark.parametrize(
    "before, command, forms",
    [
        (["RPUSH l a b"], "BLPOP none l 0", ["LPOP l"]),
        (["RPUSH l a b"], "BRPOP l 1.5", ["RPOP l"]),
        (["RPUSH l a b c"], "LMPOP 2 none l LEFT COUNT 9", ["LPOP l 3"]),
        (["RPUSH l a b c"], "BLMPOP 0 1 l RIGHT COUNT 2", ["RPOP l 2"]),
        (["RPUSH l a b"], "BLMOVE l m LEFT RIGHT 0", ["LMOVE l m LEFT RIGHT"]),
        (["RPUSH l a b"], "BRPOPLPUSH l m 0", ["RPOPLPUSH l m"]),
        (["SADD s a"], "SPOP s", ["SREM s a"]),
        (["SADD s a"], "SPOP s 5", ["DEL s"]),
        (["HSET h f 1"], "HINCRBYFLOAT h f 0.5", ["HSET h f 1.5"]),
        (
            ["HSET h f 1", "HPEXPIRE h 1000 FIELDS 1 f"],
            "HINCRBYFLOAT h f 0.5",
            ["HSET h f 1.5", "HPEXPIREAT h %d FIELDS 1 f" % (NOW_MS + 1000)],
        ),
        (["HSET h f 1"], "HEXPIRE h 10 FIELDS 2 f none", ["HPEXPIREAT h %d FIELDS 1 f" % (NOW_MS + 10_000)]),
        (["HSET h f 1"], "HPEXPIRE h 10 NX FIELDS 1 f", ["HPEXPIREAT h %d NX FIELDS 1 f" % (NOW_MS + 10)]),
        (["HSET h f 1 g 2"], "HEXPIREAT h 1 FIELDS 2 f none", ["HDEL h f"]),
        (["HSET h f 1"], "HEXPIRE h 0 FIELDS 1 f", ["HDEL h f"]),
        (["HSET h f 1 g 2"], "HEXPIRE h 0 FIELDS 2 f g", ["HDEL h f", "HDEL h g"]),
        (["HSET h f 1"], "HEXPIRE h 1 nx fields 1 f", ["HPEXPIREAT h %d nx fields 1 f" % (NOW_MS + 1000)]),
        (["SET k v"], "EXPIRE k 10 nx", ["PEXPIREAT k %d nx" % (NOW_MS + 10_000)]),
        (["SET k v"], "PEXPIREAT k %d" % (NOW_MS + 1), None),
        (["SET k v"], "SET k v GET PX 5", ["SET k v PXAT %d" % (NOW_MS + 5)]),
        (["SET k v"], "SET k v GET PXAT %d" % (NOW_MS + 1), None),
        (["RPUSH l a"], "LMOVE l l LEFT RIGHT", None),
        (["HSET h f 1", "HPEXPIRE h 1000 FIELDS 1 f"], "HPERSIST h FIELDS 1 f", None),
    ],
)
def test_the_propagated_form_is(session, before, command, forms):
    for line in before:
        run(session, line)
    assert run(session, command)[1] == forms


def test_spop_with_a_count_names_its_members_in_batches(session):
    run(session, "SADD s " + " ".join(map(str, range(5000))))
    reply, forms = run(session, "SPOP s 2500")
    batches = [form.split()[2:] for form in forms]
    assert [len(batch) for batch in batches] == [1024, 1024, 452]
    assert [member.encode() for batch in batches for member in batch] == reply.items


def test_a_replica_keeps_a_field_that_is_over_until_it_is_told(session):
    run(session, "HSET h f 1 g 2")
    space = session.keyspace
    space.keeps_lapsed, space.hides_lapsed = True, False
    assert run(session, "HPEXPIREAT h %d FIELDS 1 f" % (NOW_MS - 1))[0] == [1]
    space.hides_lapsed = True
    assert run(session, "HGETALL h")[0].items == [(b"g", b"2")]
    assert run(session, "HMGET h f g")[0] == [None, b"2"]
    assert run(session, "HRANDFIELD h 2")[0] == [b"g"]
    assert run(session, "HLEN h")[0] == 2
    space.hides_lapsed = False
    assert run(session, "HLEN h")[0] == 2
    assert run(session, "HDEL h f")[0] == 1
    space._check()


def test_a_replica_that_becomes_a_master_deletes_what_it_hid(session):
    run(session, "HSET h f 1 g 2")
    run(session, "HPEXPIRE h 10 FIELDS 1 f")
    space = session.keyspace
    space.keeps_lapsed = True
    space.clock.advance(11)
    assert run(session, "HGET h f")[0] is None
    space.keeps_lapsed = False
    space.changes.clear()
    assert run(session, "HGET h f")[0] is None
    assert [change[2].name for change in space.changes] == [b"hexpired"]
    space._check()


@pytest.mark.parametrize(
    "command, reply",
    [
        ("HGET h f", None),
        ("HLEN h", 2),
        ("HEXISTS h f", 0),
        ("HSTRLEN h f", 0),
        ("HMGET h f g", [None, b"2"]),
        ("HKEYS h", [b"g"]),
        ("HVALS h", [b"2"]),
        ("HSCAN h 0", [b"0", [b"g", b"2"]]),
        ("HRANDFIELD h 5", [b"g"]),
        ("HSETNX h f 3", 1),
        ("HSET h f 3", 0),
        ("HDEL h f", 1),
        ("HINCRBY h f 3", 3),
        ("HINCRBYFLOAT h f 3", b"3"),
        ("HTTL h FIELDS 2 f g", [-2, -1]),
        ("HPERSIST h FIELDS 1 f", [-2]),
        ("HEXPIRE h 10 FIELDS 1 f", [1]),
        ("HEXPIRE h 10 NX FIELDS 1 f", [0]),
        ("HEXPIRE h 0 FIELDS 1 f", [2]),
    ],
)
def test_what_commands_say_of_a_field_whose_time_has_come(session, command, reply):
    run(session, "HSET h f 1 g 2")
    run(session, "HPEXPIRE h 10 FIELDS 1 f")
    session.keyspace.clock.advance(9)
    assert run(session, "HGET h f")[0] == b"1"
    session.keyspace.clock.advance(1)
    assert run(session, command)[0] == reply
    session.keyspace._check()


@pytest.mark.parametrize(
    "command, events",
    [
        ("HGET h f", "hexpired del"),
        ("HMGET h x f f", "hexpired del"),
        ("HEXISTS h f", "hexpired del"),
        ("HSTRLEN h f", "hexpired del"),
        ("HINCRBY h f 1", "hexpired del hincrby"),
        ("HINCRBYFLOAT h f 1", "hexpired del hincrbyfloat"),
        ("HSETNX h f 1", "hexpired del hset"),
        ("HRANDFIELD h", "hexpired del"),
        ("HRANDFIELD h -3", "hexpired del"),
        ("HDEL h f", "hdel del"),
        ("HSET h f 1", "hset"),
        ("HGET h x", ""),
        ("HGETALL h", ""),
        ("HLEN h", ""),
        ("HSCAN h 0", ""),
        ("HTTL h FIELDS 1 f", ""),
        ("HPERSIST h FIELDS 1 f", ""),
        ("SORT s BY h->f", ""),
        ("SORT s ALPHA GET x*->f", ""),
        ("SORT s BY nosort GET *->f", "hexpired del"),
        ("SORT_RO s BY *->f", "hexpired del"),
        ("RENAME h h2", "rename_from rename_to"),
    ],
)
def test_a_look_at_a_field_whose_time_has_come_deletes_it_and_other_commands_do_not(session, command, events):
    run(session, "HSET h f 1")
    run(session, "HPEXPIRE h 10 FIELDS 1 f")
    run(session, "RPUSH s h")
    session.keyspace.clock.advance(10)
    session.keyspace.changes.clear()
    run(session, command)
    assert " ".join(change[2].name.decode() for change in session.keyspace.changes) == events
    assert session.db.exists(b"h") == ("del" not in events.split()[-1:] and not command.startswith("RENAME"))
    session.keyspace._check()


def test_an_overwritten_field_whose_time_had_come_lives_for_ever(session):
    run(session, "HSET h f 1 g 2")
    run(session, "HPEXPIRE h 10 FIELDS 1 f")
    session.keyspace.clock.advance(10)
    assert run(session, "HSETNX h f 3")[0] == 1
    assert session.keyspace.expire_due(1_000_000_000)
    assert run(session, "HGET h f")[0] == b"3"
    assert run(session, "HTTL h FIELDS 1 f")[0] == [-1]


@pytest.mark.parametrize(
    "command", ["HSET h f 2", "HSET h f 2 g 3", "HMSET h f 2", "HDEL h f", "HPERSIST h FIELDS 1 f"]
)
def test_the_database_forgets_a_deadline_that_is_taken_away(session, command):
    run(session, "HSET h f 1 other 2")
    run(session, "HPEXPIRE h 10 FIELDS 1 f")
    assert session.keyspace.next_deadline_ms() == NOW_MS + 10
    run(session, command)
    assert session.keyspace.next_deadline_ms() > NOW_MS + 10


@pytest.mark.parametrize("command", ["HINCRBY h f 2", "HINCRBYFLOAT h f 2"])
def test_counting_in_a_field_keeps_its_deadline(session, command):
    run(session, "HSET h f 1")
    run(session, "HPEXPIRE h 10 FIELDS 1 f")
    run(session, command)
    assert run(session, "HPTTL h FIELDS 1 f")[0] == [10]
