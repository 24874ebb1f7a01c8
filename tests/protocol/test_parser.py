"""Requests arrive in any split; what comes out is the same, and so is the first error."""

from __future__ import annotations

import random
import time

import pytest

from protocol.parser import MAX_ANONYMOUS_VECTORS, MAX_LINES, SPLIT_BYTES, RequestParser, Run, split_run
from protocol.patterns import MAX_ALIKE, MAX_NAME_BYTES, MAX_PATTERNS, SAMPLED, Patterned, Patterns


def encode(*arguments: bytes) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in arguments)


def take_all(parser: RequestParser) -> list[list[bytes]]:
    vectors = []
    while True:
        taken = parser.take()
        if not taken:
            return vectors
        vectors += [list(vector) for vector in taken]


def parse(data: bytes, **options) -> tuple[list[list[bytes]], bytes | None]:
    parser = RequestParser(**options)
    parser.feed(data)
    return take_all(parser), parser.error


def random_argument(rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.1:
        return b"\r\n$3\r\nabc\r\n*1\r\n"
    if kind < 0.13:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(3000)))
    if kind < 0.14:
        return b"x" * rng.randrange(3 * SPLIT_BYTES)
    return b"v%d" % rng.randrange(10 ** rng.randrange(1, 9))


@pytest.mark.parametrize("seed", range(40))
def test_any_split_of_a_pipeline_gives_the_same_vectors(seed):
    rng = random.Random(seed)
    commands: list[list[bytes]] = []
    for _ in range(rng.randrange(1, 60)):
        count = len(commands[-1]) if commands and rng.random() < 0.5 else rng.choice((1, 2, 3, 4, 5, 40))
        commands.append([random_argument(rng) for _ in range(count)])
    data = b"".join(encode(*command) for command in commands)
    largest = rng.choice((1, 7, 100, 65536)) if len(data) < 50_000 else 65536
    parser = RequestParser()
    vectors = []
    position = 0
    while position < len(data):
        size = rng.randrange(1, largest + 1)
        parser.feed(data[position : position + size])
        position += size
        vectors += take_all(parser)
    assert parser.error is None
    assert vectors == commands
    assert parser.pending_bytes() == 0
    assert not parser.has_input


def test_a_run_of_one_shape_is_split_whole():
    commands = [[b"SET", b"key:%d" % i, b"value"] for i in range(50)]
    vectors, used = split_run(b"".join(encode(*command) for command in commands) + b"*3\r\n$3\r\nSE")
    assert [list(vector) for vector in vectors] == commands
    assert used == sum(len(encode(*command)) for command in commands)


def test_a_run_whose_last_command_was_cut_in_two_is_still_a_run():
    one = encode(b"SET", b"key", b"value")
    for missing in range(1, len(one)):
        data = one * 20
        vectors, used = split_run(data[:-missing])
        assert isinstance(vectors, Run) and len(vectors) == 19
        assert vectors.source == data[:used] == one * 19


def test_a_run_and_what_follows_it_are_handed_out_together():
    vectors, used = split_run(encode(b"SET", b"key", b"value") * 20 + encode(b"EXEC"))
    assert list(map(list, vectors))[19:] == [[b"SET", b"key", b"value"], [b"EXEC"]]


def test_more_is_read_at_once_within_a_large_value_only():
    parser = RequestParser()
    usual = parser.room
    data = encode(b"SET", b"key", b"v" * 10 * usual)
    parser.feed(data[:usual])
    assert not parser.take() and parser.room > usual
    parser.feed(data[usual:])
    assert take_all(parser) == [[b"SET", b"key", b"v" * 10 * usual]]
    assert parser.room == usual
    parser.feed(data[:usual])
    assert not parser.take() and parser.room > usual
    parser.discard()
    assert parser.room == usual


def test_a_value_that_looks_like_commands_is_data():
    value = encode(b"FLUSHALL") + b"\r\n" + encode(b"QUIT")
    assert parse(encode(b"SET", b"k", value) * 5) == ([[b"SET", b"k", value]] * 5, None)


def test_a_length_that_lies_is_never_skipped():
    # Split on CRLF this would read as SET k v and PING; by its lengths it is something else.
    vectors, error = parse(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nv\r\n*1\r\n$4\r\nPING\r\n")
    assert (vectors, error) == ([[b"SET", b"k", b"v\r"], [b"1"], [b"$4"], [b"PING"]], None)


def test_a_length_that_lies_among_commands_of_many_shapes_hands_out_those_before_it():
    before = [[b"MULTI"], [b"SET", b"k", b"v"], [b"GET", b"k"], [b"EXEC"]] * 3
    data = b"".join(encode(*command) for command in before)
    vectors, used = split_run(data + b"*2\r\n$3\r\nGET\r\n$2\r\nk\r\n" + data)
    assert ([list(vector) for vector in vectors], used) == (before, len(data))
    runs = [[b"SET", b"k", b"v"]] * 20
    data = b"".join(encode(*command) for command in runs)
    vectors, used = split_run(data + b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nv\r\n" + data)
    assert ([list(vector) for vector in vectors], used) == (runs, len(data))


def learn(commands: list[list[bytes]]) -> Patterns:
    """Have a packet known that comes again and again."""
    patterns = Patterns()
    data = b"".join(encode(*command) for command in commands)
    for _ in range(2 * SAMPLED):
        split_run(data, patterns)
    return patterns


@pytest.mark.parametrize("seed", range(20))
def test_a_packet_that_comes_again_is_split_like_any_other(seed):
    rng = random.Random(seed)
    shape = [(b"NAME%d" % rng.randrange(5), rng.randrange(4)) for _ in range(rng.randrange(2, 12))] + [(b"SET", 2)]
    patterns = learn([[name, *[b"x"] * count] for name, count in shape])
    for _ in range(30):
        commands = [[name, *[random_argument(rng) for _ in range(count)]] for name, count in shape]
        cut = commands + [[b"PING"]] * rng.randrange(2)
        data = b"".join(encode(*command) for command in cut)
        assert parse(data, patterns=patterns) == (cut, None)
    plain = [[name, *[b"v" * rng.randrange(200) for _ in range(count)]] for name, count in shape]
    data = b"".join(encode(*command) for command in plain)
    vectors, used = split_run(data + b"*2", patterns)
    assert (list(map(list, vectors)), used) == (plain, len(data))
    assert isinstance(vectors, Patterned) and vectors.pattern.names == tuple(name for name, _ in shape)


@pytest.mark.parametrize("seed", range(12))
def test_a_packet_that_has_a_few_commands_many_times_is_split_like_any_other(seed):
    rng = random.Random(seed)
    shape = [(b"NAME%d" % rng.randrange(4), rng.randrange(4)) for _ in range(rng.randrange(1, 6))] + [(b"SET", 2)]
    patterns = Patterns()
    for is_plain in (True, False):
        commands = [
            [name, *[b"v" * rng.randrange(20) if is_plain else random_argument(rng) for _ in range(count)]]
            for _ in range(100)
            for name, count in shape
        ]
        data = b"".join(encode(*command) for command in commands)
        if is_plain:
            taken, used = split_run(data + b"*1\r\n$4", patterns)
            assert isinstance(taken, Patterned) and (list(map(list, taken)), used) == (commands, len(data))
            assert len(taken.pattern.names) <= len(shape)
        other = commands[: rng.randrange(len(commands))] + [[b"PING"]] + commands
        data = b"".join(encode(*command) for command in other)
        parser = RequestParser(patterns=patterns)
        found = []
        for start in range(0, len(data), 50_000):
            parser.feed(data[start : start + 50_000])
            found += take_all(parser)
        assert (found, parser.error) == (other, None)
    plain = encode(b"SET", b"k", b"v") + encode(b"GET", b"k")
    lie = plain * 100 + plain.replace(b"$1\r\nv", b"$2\r\nv") + plain
    assert parse(lie, patterns=patterns) == incrementally(lie)


def test_a_length_that_lies_is_found_in_a_packet_that_is_known():
    commands = [[b"MULTI"], [b"SET", b"k", b"v"], [b"GET", b"k"], [b"EXEC"]]
    patterns = learn(commands)
    data = b"".join(encode(*command) for command in commands)
    assert isinstance(split_run(data, patterns)[0], Patterned)
    for header in (b"$1\r\nv", b"$1\r\nk\r\n*1"):
        for lie in (b"$2", b"$0", b"$01"):
            changed = data.replace(header, lie + header[2:])
            assert parse(changed, patterns=patterns) == incrementally(changed)


def incrementally(data: bytes) -> tuple[list[list[bytes]], bytes | None]:
    """What a parser makes of bytes that come one by one, which it cannot split."""
    parser = RequestParser()
    vectors = []
    for place in range(len(data)):
        parser.feed(data[place : place + 1])
        vectors += take_all(parser)
    return vectors, parser.error


def test_what_is_remembered_of_packets_is_bounded():
    patterns = Patterns()
    lines = 0
    for n in range(3 * MAX_PATTERNS):
        vectors = [[b"A%d" % n, b"x"], [b"B", b"y"], [b"C" * n, b"z"]]
        lines = 10 + n // (2 * MAX_ALIKE)
        for _ in range(2 * SAMPLED):
            patterns.note(vectors, lines)
    known = [pattern for alike in patterns.values() for _, _, pattern in alike]
    assert 0 < len(known) <= MAX_PATTERNS and max(map(len, patterns.values())) <= MAX_ALIKE
    assert max(len(name) for pattern in known for name in pattern.names) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    "data, error",
    [
        (b"*abc\r\n", b"invalid multibulk length"),
        (b"*03\r\n", b"invalid multibulk length"),
        (b"*2147483648\r\n", b"invalid multibulk length"),
        (b"*1\r\nfoo\r\n", b"expected '$', got 'f'"),
        (b"*1\r\n$03\r\n", b"invalid bulk length"),
        (b"*1\r\n$+4\r\n", b"invalid bulk length"),
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
        (b"*" + b"1" * 70_000, b"too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70_000, b"too big bulk count string"),
        (b"a" * 70_000, b"too big inline request"),
        (b'set "a\r\n', b"unbalanced quotes in request"),
        (b'set "a"b\r\n', b"unbalanced quotes in request"),
    ],
)
def test_bad_input_is_named_in_redis_words(data, error):
    assert parse(data) == ([], error)


def test_what_came_before_an_error_is_handed_out_first():
    assert parse(encode(b"PING") * 4 + b"*1\r\n!") == ([[b"PING"]] * 4, None)
    assert parse(encode(b"PING") * 4 + b"*1\r\n!3\r\n") == ([[b"PING"]] * 4, b"expected '$', got '!'")


def test_empty_and_negative_counts_and_empty_lines_are_skipped():
    assert parse(b"*0\r\n*-5\r\n\r\n\n" + encode(b"PING")) == ([[b"PING"]], None)


def test_any_two_bytes_end_a_payload_and_any_byte_follows_a_headers_cr():
    assert parse(b"*1\r\n$4\r\nPINGxx*1\rX$4\r\nPING\r\n") == ([[b"PING"], [b"PING"]], None)


@pytest.mark.parametrize(
    "line, words",
    [
        (b"set a b\r\n", [b"set", b"a", b"b"]),
        (b"  get\ta \n", [b"get", b"a"]),
        (b'set "a b" \'c d\'\r\n', [b"set", b"a b", b"c d"]),
        (b'echo "\\x41\\n\\t\\"\\q"\r\n', [b"echo", b'A\n\t"q']),
        (b"echo 'it\\'s'\r\n", [b"echo", b"it's"]),
        (b'echo ""\r\n', [b"echo", b""]),
    ],
)
def test_inline_commands_have_redis_quoting(line, words):
    assert parse(line) == ([words], None)


def test_behind_a_nul_an_inline_command_has_no_end():
    assert parse(b"PING\r\n\0\r\nPING\r\n") == ([[b"PING"]], None)
    assert parse(b"\0\r\n" + b"a" * 70_000) == ([], b"too big inline request")


def test_limits_are_smaller_before_authentication():
    assert parse(b"*11\r\n", anonymous=True) == ([], b"unauthenticated multibulk length")
    assert parse(b"*1\r\n$16385\r\n", anonymous=True) == ([], b"unauthenticated bulk length")
    assert parse(encode(*[b"a"] * 10), anonymous=True) == ([[b"a"] * 10], None)


def test_an_auth_in_the_packet_lifts_the_limits_for_what_follows():
    parser = RequestParser(anonymous=True)
    parser.feed(encode(b"AUTH", b"x") + encode(b"SET", b"k", b"v" * 20_000))
    assert [list(vector) for vector in parser.take()] == [[b"AUTH", b"x"]]
    parser.anonymous = False
    assert take_all(parser) == [[b"SET", b"k", b"v" * 20_000]]


@pytest.mark.parametrize("word", [b"AUTH", b"hello", b"Reset"])
def test_a_stranger_gets_its_vectors_some_at_a_time_up_to_what_may_log_it_in(word):
    parser = RequestParser(anonymous=True)
    first = [[b"SET", b"k%d" % number, b"v"] for number in range(MAX_ANONYMOUS_VECTORS + 5)] + [[word, b"x"]]
    parser.feed(b"".join(encode(*vector) for vector in first) + encode(*[b"a"] * 11))
    assert [list(vector) for vector in parser.take()] == first[:MAX_ANONYMOUS_VECTORS]
    assert [list(vector) for vector in parser.take()] == first[MAX_ANONYMOUS_VECTORS:]
    assert list(parser.take()) == [] and parser.error == b"unauthenticated multibulk length"


def test_a_large_value_in_small_pieces_takes_linear_time():
    def seconds(size: int) -> float:
        parser = RequestParser()
        parser.feed(b"*2\r\n$3\r\nSET\r\n$%d\r\n" % size)
        piece = b"x" * 1024
        start = time.process_time()
        for _ in range(size // 1024):
            parser.feed(piece)
            assert parser.take() == []
        parser.feed(b"\r\n")
        assert len(parser.take()) == 1
        return time.process_time() - start

    seconds(1 << 20)
    small = min(seconds(8 << 20) for _ in range(2))
    assert seconds(64 << 20) < 8 * small * 3 + 0.05


def test_input_that_piles_up_before_any_is_taken_takes_linear_time():
    def seconds(pieces: int) -> float:
        parser = RequestParser()
        piece = encode(b"SET", b"k", b"v" * 65_000)
        start = time.process_time()
        for _ in range(pieces):
            parser.feed(piece)
        assert parser.pending_bytes() == pieces * len(piece)
        assert len(take_all(parser)) == pieces
        return time.process_time() - start

    seconds(16)
    small = min(seconds(64) for _ in range(2))
    assert seconds(1024) < 16 * small * 3 + 0.05


def test_input_that_piles_up_reads_as_if_it_had_come_at_once():
    chance = random.Random(1)
    kinds = [
        lambda: encode(b"SET", b"k", chance.randbytes(chance.choice((3, 70, 40_000, 200_000)))),
        lambda: encode(b"GET", b"k") * chance.randrange(1, 900),
        lambda: b"GET k\r\n" * chance.randrange(1, 900),
        lambda: b'ECHO "a b"\r\n\r\n' + b"\r\n" * chance.choice((0, 5, 70_000)),
    ]
    for _ in range(6):
        data = b"".join(chance.choice(kinds)() for _ in range(40))
        parser = RequestParser()
        found = []
        start = 0
        while start < len(data):
            stop = start + chance.choice((1, 500, 70_000, 300_000))
            parser.feed(data[start:stop])
            start = stop
            if chance.random() < 0.1:
                found += [list(vector) for vector in parser.take()]
        found += take_all(parser)
        assert (found, parser.error) == parse(data)
        assert not parser.pending_bytes() and not parser.has_input


def test_a_bad_header_among_many_arguments_is_found_however_they_come():
    arguments = [b"v%d" % number for number in range(100)]
    good = encode(*arguments)
    at = good.index(b"$3\r\nv50\r\n")
    length = b"invalid bulk length"
    for header, error in ((b"$x", length), (b"%3", b"expected '$', got '%'"), (b"$-1", length)):
        bad = good[:at] + header + good[at + 2 :]
        for size in (1, 50, 600, len(bad)):
            parser = RequestParser()
            parser.feed(encode(b"PING"))
            for start in range(0, len(bad), size):
                parser.feed(bad[start : start + size])
                take_all(parser)
            assert parser.error == error
    lenient = good.replace(b"$3\r\nv50\r\n", b"$3\r\nv50xx").replace(b"$3\r\nv60\r\n", b"$3\r?v60\r\n")
    assert parse(lenient[:600])[0] == [] and parse(lenient) == ([arguments], None)
    parser = RequestParser()
    parser.feed(lenient[:600])
    assert not parser.take() and parser.pending_bytes() <= 600
    parser.feed(lenient[600:])
    assert take_all(parser) == [arguments]


def test_a_million_arguments_take_linear_time():
    def seconds(count: int) -> float:
        parser = RequestParser()
        piece = b"$5\r\nabcde\r\n" * 5000
        start = time.process_time()
        parser.feed(b"*%d\r\n" % count)
        for _ in range(count // 5000):
            assert not parser.take() and parser.pending_bytes() <= 60 * count
            parser.feed(piece)
        assert len(take_all(parser)[0]) == count
        return time.process_time() - start

    small = min(seconds(50_000) for _ in range(3))
    assert seconds(1_000_000) < 20 * small * 3 + 0.05


def test_a_declared_length_takes_no_memory_before_its_bytes_come():
    parser = RequestParser()
    parser.feed(b"*2\r\n$3\r\nSET\r\n$536870912\r\nabc")
    assert parser.take() == []
    assert parser.pending_bytes() < 1000


def test_what_is_discarded_is_gone():
    parser = RequestParser()
    parser.feed(encode(b"PING") * 3 + b"*2\r\n$3\r\nGE")
    parser.discard()
    assert parser.take() == []
    assert parser.pending_bytes() == 0


def test_lines_come_some_at_a_time_and_none_is_lost_when_more_arrive_meanwhile():
    parser = RequestParser()
    lines = [b"a%d" % number for number in range(5 * MAX_LINES)]
    half = len(lines) // 2
    parser.feed(b"\r\n".join(lines[:half]))
    found = parser.take()
    assert len(found) == MAX_LINES and parser.has_input
    parser.feed(b"\r\n" + b"\r\n".join(lines[half:]) + b"\r\n" + encode(b"GET", b"k") + b"last\r\n")
    found += take_all(parser)
    assert found == [[line] for line in lines] + [[b"GET", b"k"], [b"last"]]
    assert not parser.has_input and not parser.pending_bytes()


@pytest.mark.parametrize("blank", [b"\r\n", b"\n", b" \n", b"\t\r\r\n\n \r\n", b"*0\r\n"])
def test_lines_without_words_are_passed_over_wherever_they_stand(blank):
    for count in (1, 2, 700, 3000):
        gap = blank * count
        assert parse(gap) == ([], None)
        data = gap + b"a\r\n" + gap + encode(b"GET", b"k") + gap + b" b c\n" + gap
        assert parse(data) == ([[b"a"], [b"GET", b"k"], [b"b", b"c"]], None)


def test_a_beginning_behind_lines_without_words_is_kept():
    parser = RequestParser()
    parser.feed(b"\r\n" * 600 + b"  PI")
    assert parser.take() == []
    parser.feed(b"NG\r\n")
    assert take_all(parser) == [[b"PING"]]


@pytest.mark.parametrize("split", range(0, 40, 3))
def test_lines_of_words_come_out_the_same_in_any_split_and_beside_multibulk(split):
    data = b"PING\r\nSET a  b\n\r\n \t \r\nGET\ta\r\n" + b'ECHO "x y"\r\n*1\r\n$4\r\nPING\r\nPING\r\n'
    parser = RequestParser()
    vectors = []
    for piece in (data[:split], data[split:], b"LAST\r\n" * 200):
        if piece:
            parser.feed(piece)
        while True:
            some = parser.take()
            if not some:
                break
            vectors += [list(vector) for vector in some]
    words = [[b"PING"], [b"SET", b"a", b"b"], [b"GET", b"a"], [b"ECHO", b"x y"], [b"PING"], [b"PING"]]
    assert vectors == words + [[b"LAST"]] * 200 and parser.error is None
