from __future__ import annotations

import random

import pytest

from storage.aof.records import BadLog, LogEncoder, LogReader, encode_record

SET = encode_record((b"SET", b"key", b"value"))
MULTI = encode_record((b"MULTI",))
EXEC = encode_record((b"EXEC",))


def read(data, piece=1 << 20, offset=0):
    reader = LogReader(offset)
    commands = []
    for start in range(0, len(data), piece):
        commands += reader.feed(data[start : start + piece])
    return commands, reader


def refused(data):
    with pytest.raises(BadLog) as caught:
        read(data)
    assert "Bad file format reading the append only file" in caught.value.reason
    return caught.value.offset


def test_a_record_is_the_command_as_a_client_sends_it():
    assert SET == b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n"
    assert encode_record([b"x" * 300] * 70).startswith(b"*70\r\n$300\r\nxxx")


def test_the_encoder_selects_a_database_when_it_changes_and_after_a_restart():
    encoder = LogEncoder()
    select = [encode_record((b"SELECT", b"%d" % db)) for db in range(2)]
    assert encoder.encode(0, (b"SET", b"key", b"value"), 5000) == select[0] + SET
    assert encoder.encode(0, (b"SET", b"key", b"value"), 6000) == SET
    assert encoder.encode(1, (b"SET", b"key", b"value"), 6000) == select[1] + SET
    encoder.restart()
    assert encoder.encode(1, (b"SET", b"key", b"value"), 6000) == select[1] + SET


def test_the_encoder_tells_each_second_once_if_asked():
    encoder = LogEncoder(timestamps=True)
    assert encoder.encode(0, (b"SET", b"key", b"value"), 5000).startswith(b"#TS:5\r\n*2\r\n$6\r\nSELECT")
    assert encoder.encode(0, (b"SET", b"key", b"value"), 5999) == SET
    assert encoder.encode(0, (b"SET", b"key", b"value"), 7000) == b"#TS:7\r\n" + SET
    assert encoder.encode(0, (b"SET", b"key", b"value"), 6000) == SET  # the clock was set back


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 1 << 20])
def test_pieces_of_any_size_give_the_same_commands(piece):
    commands = [
        [b"SET", b"key", b"value"],
        [b"SET", b"", b"\r\n*3\r\n$"],
        [b"RPUSH", b"key", *[b"%d" % number for number in range(200)]],
        [b"SET", b"big", b"x" * 5000],
    ]
    data = b"#TS:77\r\n#anything\r\n" + b"".join(map(encode_record, commands))
    again, reader = read(data, piece, offset=1000)
    assert again == commands
    assert reader.second == 77
    assert reader.whole == reader.size() == 1000 + len(data)
    assert not reader.is_truncated()


def test_a_truncated_tail_is_cut_behind_the_last_whole_command():
    data = SET * 2
    for size in range(len(SET) + 1, len(data)):
        commands, reader = read(data[:size])
        assert len(commands) == 1
        assert reader.is_truncated() and reader.whole == len(SET)
    assert not read(data)[1].is_truncated()
    assert not read(b"")[1].is_truncated()


def test_a_truncated_transaction_is_cut_before_its_multi():
    start = len(SET)
    data = SET + MULTI + SET + SET + EXEC + SET
    for size in range(start + 1, start + len(MULTI + SET + SET + EXEC)):
        _, reader = read(data[:size])
        assert reader.is_truncated() and reader.whole == start
    _, reader = read(data[: -len(SET)])
    assert not reader.is_truncated() and reader.whole == len(data) - len(SET)


def test_a_truncated_annotation_is_cut():
    _, reader = read(SET + b"#TS:12")
    assert reader.is_truncated() and reader.whole == len(SET)


@pytest.mark.parametrize(
    "bad",
    [
        b"hello\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*x\r\n",
        b"*\r\n",
        b"*1_0\r\n",
        b"*99999999999999999999999\r\n",
        b"*1\r\n+3\r\nSET\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$99999999999999999999\r\n",
        b"*" + b"1" * 2000,
        b"#" + b"1" * 2000,
        b"\0" * 20,
    ],
)
def test_a_format_error_is_refused_with_the_offset_of_its_record(bad):
    assert refused(SET + bad + SET) == len(SET)


def test_what_ends_a_line_or_an_argument_is_passed_over_as_in_redis():
    commands, _ = read(b"*2x\r\n$3 y\n" + b"GETxx" + b"$ +1\r\r\nk\n\n" + SET)
    assert commands == [[b"GET", b"k"], [b"SET", b"key", b"value"]]


def test_a_claimed_length_of_gigabytes_is_a_truncated_tail_and_takes_no_memory():
    for claim in (b"*1\r\n$99999999999\r\nx", b"*1000000000\r\n$1\r\nx\r\n"):
        commands, reader = read(SET + claim)
        assert len(commands) == 1
        assert reader.is_truncated() and reader.whole == len(SET)


def test_where_the_files_size_is_known_an_impossible_argument_is_not_collected():
    data = SET + b"*1\r\n$99999999999\r\n"
    reader = LogReader(size=len(data) + 300)
    assert len(list(reader.feed(data))) == 1
    for _ in range(3):
        assert list(reader.feed(SET * 2 + b"x" * (100 - 2 * len(SET)))) == []
    assert reader.is_truncated() and reader.whole == len(SET)
    assert reader.size() == len(data) + 300
    reader = LogReader(size=2 * len(SET))
    assert len(list(reader.feed(SET + SET[:-1]))) == 1
    assert len(list(reader.feed(SET[-1:]))) == 1
    assert not reader.is_truncated()


def test_a_command_of_many_arguments_is_not_read_in_quadratic_time():
    import time

    data = encode_record([b"x"] * 100_000)
    start = time.perf_counter()
    commands, _ = read(data, 256)
    assert len(commands[0]) == 100_000
    assert time.perf_counter() - start < 3


def test_any_changed_byte_ends_in_commands_or_a_refusal():
    rng = random.Random(1)
    data = SET * 3 + MULTI + SET + EXEC + b"#TS:5\r\n" + encode_record((b"RPUSH", b"key", *[b"x" * 12] * 20))
    refusals = 0
    for _ in range(5000):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        try:
            commands, reader = read(bytes(damaged))
        except BadLog as error:
            refusals += 1
            assert 0 <= error.offset < len(data)
        else:
            assert commands and 0 <= reader.whole <= reader.size() == len(data)
    assert 1000 < refusals < 5000
