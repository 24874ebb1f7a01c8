from __future__ import annotations

import pytest

from protocol.encoder import RESP2, RESP3
from protocol.reply import NULL_ARRAY
from server.commands import geo
from storage.types.list import List
from storage.types.sorted_set import SortedSet
from tests.harness.handlers import Desk

WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = b"ERR syntax error"
NO_CENTRE = b"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH"
NO_SHAPE = b"ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH"
SICILY = "13.361389 38.115556 Palermo 15.087269 37.502669 Catania".split()


@pytest.fixture
def desk():
    made = Desk()
    assert made.run(geo.geoadd, "GEOADD", "s", *SICILY) == 2
    return made


def test_geoadd_states_zadd_and_propagates_scores(desk):
    assert desk.run(geo.geoadd, "GEOADD", "n", "CH", *SICILY) == 2
    assert desk.events == [(b"n", b"zadd", 2)]
    assert desk.propagated == [
        (b"zadd", b"n", b"CH", b"3479099956230698", b"Palermo", b"3479447370796909", b"Catania")
    ]


def test_geoadd_of_more_than_a_listpack_holds_makes_a_skiplist_though_it_adds_none(desk):
    desk.db.space.limits.zset_max_listpack_entries = 1
    desk.run(geo.geoadd, "GEOADD", "s", "XX", *SICILY)
    assert desk.db.peek(b"s").encoding == b"skiplist"


def test_geoadd_options_choose_what_is_written_and_counted(desk):
    assert desk.run(geo.geoadd, "GEOADD", "s", "NX", "CH", "1", "1", "Palermo", "2", "2", "new") == 1
    assert desk.run(geo.geoadd, "GEOADD", "s", "XX", "CH", "1", "1", "Palermo", "2", "2", "other") == 1
    assert desk.run(geo.geoadd, "GEOADD", "s", "XX", "2", "1", "Palermo") == 0
    assert b"other" not in desk.db.peek(b"s")
    assert desk.run(geo.geoadd, "GEOADD", "none", "XX", "1", "1", "a") == 0
    assert desk.db.peek(b"none") is None


@pytest.mark.parametrize(
    "words, text",
    [
        ("200 0 a", b"ERR invalid longitude,latitude pair 200.000000,0.000000"),
        ("1 1 a 0 86 b", b"ERR invalid longitude,latitude pair 0.000000,86.000000"),
        ("1 x a", b"ERR value is not a valid float"),
        ("1 nan a", b"ERR value is not a valid float"),
        ("1 1 a 2", SYNTAX),
        ("NX XX 1 1 a", SYNTAX),
    ],
)
def test_geoadd_refuses_bad_positions_and_adds_none(desk, words, text):
    assert desk.run(geo.geoadd, "GEOADD", "n", *words.split()) == text
    assert desk.db.peek(b"n") is None


def test_distances_hashes_and_positions(desk):
    assert desk.run(geo.geodist, "GEODIST", "s", "Palermo", "Catania") == b"166274.1516"
    assert desk.run(geo.geodist, "GEODIST", "s", "Palermo", "Catania", "KM") == b"166.2742"
    assert desk.run(geo.geodist, "GEODIST", "s", "Palermo", "nobody") is None
    assert desk.run(geo.geohashes, "GEOHASH", "s", "Palermo", "nobody") == [b"sqc8b49rny0", None]
    reply = desk.run(geo.geopos, "GEOPOS", "s", "Palermo", "nobody")
    assert reply[1] is NULL_ARRAY
    assert RESP2[list](reply[0]) == b"*2\r\n$20\r\n13.36138933897018433\r\n$20\r\n38.11555639549629859\r\n"
    assert RESP3[list](reply[0]) == b"*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n"


def test_geosearch_orders_counts_and_details(desk):
    around = "GEOSEARCH s FROMLONLAT 15 37 BYRADIUS 200 km".split()
    assert desk.run(geo.geosearch, *around, "ASC") == [b"Catania", b"Palermo"]
    assert desk.run(geo.geosearch, *around, "DESC") == [b"Palermo", b"Catania"]
    assert desk.run(geo.geosearch, *around, "COUNT", "1") == [b"Catania"]
    rows = desk.run(geo.geosearch, *around, "ASC", "WITHHASH", "WITHDIST", "COUNT", "1")
    assert rows == [[b"Catania", b"56.4413", 3479447370796909]]


def test_geosearch_in_a_box_around_a_member(desk):
    box = "GEOSEARCH s FROMMEMBER Palermo BYBOX 400 100 km".split()
    assert desk.run(geo.geosearch, *box) == [b"Palermo"]


@pytest.mark.parametrize(
    "words, text",
    [
        ("BYRADIUS 1 m WITHDIST WITHHASH", NO_CENTRE),
        ("FROMMEMBER Palermo ASC ASC ASC", NO_SHAPE),
        ("FROMMEMBER nobody BYRADIUS 1 m", b"ERR could not decode requested zset member"),
        ("FROMMEMBER Palermo BYRADIUS x m", b"ERR need numeric radius"),
        ("FROMMEMBER Palermo BYRADIUS -1 m", b"ERR radius cannot be negative"),
        ("FROMMEMBER Palermo BYRADIUS 1 y", b"ERR unsupported unit provided. please use M, KM, FT, MI"),
        ("FROMMEMBER Palermo BYBOX x 1 m", b"ERR need numeric width"),
        ("FROMMEMBER Palermo BYBOX 1 x m", b"ERR need numeric height"),
        ("FROMMEMBER Palermo BYBOX -1 1 m", b"ERR height or width cannot be negative"),
        ("FROMMEMBER Palermo BYRADIUS 1 m BYBOX 1 1 m", SYNTAX),
        ("FROMMEMBER Palermo FROMLONLAT 1 1 BYRADIUS 1 m", SYNTAX),
        ("FROMMEMBER Palermo BYRADIUS 1 m COUNT 0", b"ERR COUNT must be > 0"),
        ("FROMMEMBER Palermo BYRADIUS 1 m ANY", b"ERR the ANY argument requires COUNT argument"),
        ("FROMMEMBER Palermo BYRADIUS 1 m STORE d", SYNTAX),
    ],
)
def test_geosearch_refusals(desk, words, text):
    assert desk.run(geo.geosearch, "GEOSEARCH", "s", *words.split()) == text


def test_geosearchstore_stores_scores_or_distances(desk):
    words = "s FROMMEMBER Palermo BYRADIUS 200 km".split()
    assert desk.run(geo.geosearchstore, "GEOSEARCHSTORE", "d", *words) == 2
    assert desk.events[-1] == (b"d", b"geosearchstore", 2)
    assert desk.db.peek(b"d").get(b"Palermo") == 3479099956230698
    assert desk.run(geo.geosearchstore, "GEOSEARCHSTORE", "d", *words, "STOREDIST") == 2
    assert desk.db.peek(b"d").get(b"Catania") == pytest.approx(166.2742, abs=1e-4)


def test_a_stored_search_that_finds_nothing_deletes_the_destination(desk):
    desk.db.put(b"d", b"string")
    words = "GEORADIUS s 100 0 1 m STORE d".split()
    assert desk.run(geo.georadius, *words) == 0
    assert desk.db.peek(b"d") is None
    assert desk.events == [(b"d", b"del", 1)]


def test_storing_excludes_details(desk):
    refused = b" is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
    radius = "s 13 38 1 km WITHDIST STORE d".split()
    assert desk.run(geo.georadius, "GEORADIUS", *radius) == b"ERR STORE option in GEORADIUS" + refused
    search = "d s FROMMEMBER Palermo BYRADIUS 1 km WITHHASH".split()
    assert desk.run(geo.geosearchstore, "GEOSEARCHSTORE", *search) == b"ERR GEOSEARCHSTORE" + refused


def test_read_only_forms_refuse_to_store(desk):
    assert desk.run(geo.georadius_ro, *"GEORADIUS_RO s 13 38 1 km STORE d".split()) == SYNTAX
    assert desk.run(geo.georadiusbymember_ro, *"GEORADIUSBYMEMBER_RO s Palermo 1 km STORE d".split()) == SYNTAX


def test_georadiusbymember_states_its_own_event(desk):
    assert desk.run(geo.georadiusbymember, *"GEORADIUSBYMEMBER s Palermo 200 km STORE d".split()) == 2
    assert desk.events[-1] == (b"d", b"georadiusstore", 2)
    assert isinstance(desk.db.peek(b"d"), SortedSet)


@pytest.mark.parametrize(
    "handler, words",
    [
        (geo.geoadd, "GEOADD l 1 1 a"),
        (geo.geodist, "GEODIST l a b"),
        (geo.geohashes, "GEOHASH l a"),
        (geo.geopos, "GEOPOS l a"),
        (geo.geosearch, "GEOSEARCH l FROMLONLAT 1 1 BYRADIUS 1 m"),
        (geo.geosearchstore, "GEOSEARCHSTORE d l FROMLONLAT 1 1 BYRADIUS 1 m"),
        (geo.georadius, "GEORADIUS l 1 1 1 m"),
        (geo.georadiusbymember, "GEORADIUSBYMEMBER l a 1 m"),
    ],
)
def test_every_command_on_a_list_is_wrongtype_and_keeps_the_key(desk, handler, words):
    desk.db.put(b"l", List())
    assert desk.run(handler, *words.split()) == WRONG_TYPE
    assert isinstance(desk.db.peek(b"l"), List)


def test_a_missing_key_is_an_empty_set(desk):
    assert desk.run(geo.geodist, "GEODIST", "none", "a", "b") is None
    assert desk.run(geo.geohashes, "GEOHASH", "none", "a") == [None]
    assert desk.run(geo.geopos, "GEOPOS", "none", "a") == [NULL_ARRAY]
    assert desk.run(geo.geosearch, *"GEOSEARCH none FROMMEMBER a BYRADIUS 1 m".split()) == []
    assert desk.run(geo.georadiusbymember, *"GEORADIUSBYMEMBER none a x y STORE d".split()) == 0
