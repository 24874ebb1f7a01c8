"""The words that commands are made of.

Owns the distribution of keys, values and numbers. Each method is one category of the grammar and returns
bytes. Keys are few and belong to a type by name, so that most commands find the type they want, and some do
not. Nothing here makes a key expire within a run: deadlines are past, or far away (see `seconds`).
"""

from __future__ import annotations

from random import Random

KEYS_PER_TYPE = 4
TYPES = (b"s", b"l", b"h", b"S", b"z", b"x", b"b", b"g", b"p")
ALL_KEYS = [kind + b"%d" % number for kind in TYPES for number in range(KEYS_PER_TYPE)]
ODD_KEYS = [b"", b"\x00\xff\r\n", b"{tag}k", b"missing"]

INTEGERS = [
    b"0", b"1", b"-1", b"2", b"3", b"5", b"7", b"10", b"100", b"12345", b"-12345",
    b"2147483647", b"2147483648", b"-2147483648", b"4294967295", b"4294967296",
    b"9223372036854775807", b"-9223372036854775808", b"9223372036854775806", b"-9223372036854775807",
]  # fmt: skip
NO_INTEGERS = [
    b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"1e3", b"+1", b"01", b"-0",
    b" 1", b"1 ", b"1.0", b"", b"abc", b"nan", b"0x1", b"1\x00", b"--1", b"99999999999999999999999999999",
]  # fmt: skip
FLOATS = [
    b"0", b"1", b"-1", b"1.5", b"-2.5", b"0.1", b"0.2", b"3.0", b"3.14159265358979", b"1e3", b"1E-3", b"-0",
    b"inf", b"-inf", b"+inf", b"1e300", b"1e-300", b"17976931348623157e292", b"0x10", b"123456789012345678",
    b"1e17", b"1e21", b"1e22", b".5", b"5.", b"+1", b"0.30000000000000004", b"4.9e-324", b"9007199254740993",
]  # fmt: skip
NO_FLOATS = [b"nan", b"-nan", b"abc", b"", b" 1", b"1 ", b"1.2.3", b"1e", b"1,5", b"infx", b"1\x00", b"e5"]
BYTES = [
    b"", b"a", b"b", b"foo", b"bar", b"hello world", b"\x00", b"\xff\xfe", b"a\r\nb", b"*1\r\n$4\r\nPING\r\n",
    b"\x80" * 9, b"caf\xc3\xa9", b"x" * 44, b"x" * 45, b"y" * 64, b"y" * 65, b"0" * 20, b"%s%n", b"NX", b"-1",
]  # fmt: skip
MEMBERS = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"e",
    b"f",
    b"1",
    b"2",
    b"3",
    b"-7",
    b"\xff",
    b"",
    b"10000000000",
    b"07",
    b"aa",
]
PATTERNS = [
    b"*", b"?*", b"s*", b"*1", b"[a-z]*", b"[^s]*", b"s\\*", b"nothing", b"", b"[", b"[a", b"?", b"*[0-1]",
    b"**1", b"[z-a]?", b"\\", b"[\\]]", b"s[0-2]",
]  # fmt: skip
# Old enough to be past, far enough not to come during a run, and the edges of what 64 bits of milliseconds
# hold.
PAST = [b"0", b"-1", b"-100", b"-9223372036854775808"]
TOO_FAR = [
    b"9223372036854775807",
    b"9223372036854775",
    b"9223372036854776",
    b"-9223372036854776",
    b"-9223372036854775807",
]
FUTURE_EPOCH_S = [b"33177117420", b"4102444800", b"4102444801", b"9000000000"]
FUTURE_EPOCH_MS = [b"33177117420000", b"4102444800000", b"4102444800001", b"9000000000000"]
PAST_EPOCH = [b"1", b"1000000000", b"0", b"-1"]
COORDINATES = [
    (b"13.361389", b"38.115556"), (b"15.087269", b"37.502669"), (b"2.349014", b"48.864716"),
    (b"0", b"0"),
    (b"-122.27652", b"37.805186"), (b"179.9999", b"85"), (b"-180", b"-85.05112878"),
    (b"12.758489", b"38.788135"),
    (b"15.5", b"37.5"), (b"13.5", b"38.2"), (b"180", b"85.05112878"), (b"-0.0001", b"0.0001"),
]  # fmt: skip
BAD_COORDINATES = [
    (b"181", b"0"),
    (b"0", b"86"),
    (b"nan", b"0"),
    (b"abc", b"1"),
    (b"0", b"-90"),
    (b"inf", b"1"),
]


class Vocabulary:
    """Random words. `own` is the letter of the group's key type."""

    def __init__(self, random: Random, own: bytes = b"s") -> None:
        self.random = random
        self.own_keys = [own + b"%d" % number for number in range(KEYS_PER_TYPE)]
        self.last_key = b""
        self.last_ms = 60  # of `newid`
        self.last_sequence = 0
        self.chance = random.random
        self.pick = random.choice

    # keys

    def key(self) -> bytes:
        """A key that mostly has the group's own type."""
        chance = self.chance()
        table = self.own_keys if chance < 0.9 else ALL_KEYS if chance < 0.98 else ODD_KEYS
        self.last_key = self.pick(table)
        return self.last_key

    def samekey(self) -> bytes:
        """The last `key`, for commands that clean up after chance."""
        return self.last_key

    def anykey(self) -> bytes:
        return self.pick(ALL_KEYS) if self.chance() < 0.95 else self.pick(ODD_KEYS)

    def db(self) -> bytes:
        return self.pick((b"0", b"1", b"2")) if self.chance() < 0.9 else self.pick((b"16", b"-1", b"abc", b"15"))

    # values

    def value(self) -> bytes:
        chance = self.chance()
        if chance < 0.5:
            return self.pick(BYTES)
        if chance < 0.7:
            return self.pick(INTEGERS)
        if chance < 0.8:
            return self.pick(FLOATS)
        if chance < 0.85:
            return self.pick(NO_INTEGERS)
        if chance < 0.98:
            return self.random.randbytes(self.random.randrange(1, 24))
        return self.random.randbytes(self.random.randrange(60, 300))

    def member(self) -> bytes:
        """A value from a small set, so that elements are found again."""
        return self.pick(MEMBERS) if self.chance() < 0.93 else self.value()

    def digits(self) -> bytes:
        """A number within the small range where sets stay intsets and strings stay integers."""
        return b"%d" % self.random.randrange(-50, 50)

    def pattern(self) -> bytes:
        return self.pick(PATTERNS)

    def junk(self) -> bytes:
        return self.pick(NO_INTEGERS) if self.chance() < 0.5 else self.pick(BYTES)

    # numbers

    def int(self) -> bytes:
        chance = self.chance()
        if chance < 0.5:
            return b"%d" % self.random.randrange(-20, 100)
        return self.pick(INTEGERS) if chance < 0.85 else self.pick(NO_INTEGERS)

    def n(self) -> bytes:
        """A count: small, rarely negative, rarely no number."""
        chance = self.chance()
        if chance < 0.85:
            return b"%d" % self.random.randrange(0, 6)
        return self.pick((b"-1", b"-2", b"-5", b"1000")) if chance < 0.95 else self.pick(NO_INTEGERS)

    def pos(self) -> bytes:
        """A positive count that is always right."""
        return b"%d" % self.random.randrange(1, 6)

    def index(self) -> bytes:
        chance = self.chance()
        if chance < 0.8:
            return b"%d" % self.random.randrange(-8, 9)
        return self.pick(INTEGERS) if chance < 0.93 else self.pick(NO_INTEGERS)

    def offset(self) -> bytes:
        """An offset into a string: small enough that strings stay small, or out of range."""
        chance = self.chance()
        if chance < 0.9:
            return b"%d" % self.random.randrange(0, 70)
        return self.pick((b"-1", b"536870912", b"4294967296", b"9223372036854775807", b"abc", b"", b"1.5", b"01"))

    def bitplace(self) -> bytes:
        """The offset of a bit: in the first bytes, or out of range; none that makes a string of megabytes."""
        if self.chance() < 0.93:
            return b"%d" % self.random.randrange(0, 300)
        return self.pick((b"-1", b"4294967296", b"9223372036854775808", b"abc", b"", b"1.5", b"01"))

    def bit(self) -> bytes:
        return self.pick((b"0", b"1")) if self.chance() < 0.95 else self.pick((b"2", b"-1", b"x", b""))

    def float(self) -> bytes:
        chance = self.chance()
        if chance < 0.45:
            return b"%d" % self.random.randrange(-10, 30)
        if chance < 0.6:
            return repr(self.random.uniform(-1000, 1000)).encode()
        return self.pick(FLOATS) if chance < 0.93 else self.pick(NO_FLOATS)

    def seconds(self) -> bytes:
        return self._time(1)

    def millis(self) -> bytes:
        return self._time(1000)

    def _time(self, units_per_s: int) -> bytes:
        chance = self.chance()
        if chance < 0.75:
            # All different by far more than two clocks are apart: GT and LT must not hang on a millisecond.
            return b"%d" % (self.random.randrange(1000, 10**9) * units_per_s)
        if chance < 0.88:
            return self.pick(PAST)
        return self.pick(TOO_FAR) if chance < 0.94 else self.pick(NO_INTEGERS)

    def epoch(self) -> bytes:
        return self._epoch(FUTURE_EPOCH_S)

    def epochms(self) -> bytes:
        return self._epoch(FUTURE_EPOCH_MS)

    def _epoch(self, future: list[bytes]) -> bytes:
        chance = self.chance()
        if chance < 0.8:
            return self.pick(future)
        if chance < 0.92:
            return self.pick(PAST_EPOCH)
        return self.pick(TOO_FAR) if chance < 0.96 else self.pick(NO_INTEGERS)

    # sorted sets, geography, streams

    def scorebound(self) -> bytes:
        chance = self.chance()
        if chance < 0.3:
            return self.pick((b"-inf", b"+inf", b"inf"))
        bound = self.float()
        return b"(" + bound if chance < 0.55 else bound

    def lexbound(self) -> bytes:
        chance = self.chance()
        if chance < 0.3:
            return self.pick((b"-", b"+"))
        if chance < 0.95:
            return self.pick((b"[", b"(")) + self.pick(MEMBERS)
        return self.pick((b"a", b"", b"++", b"[", b"("))

    def lonlat(self) -> list[bytes]:
        return list(self.pick(COORDINATES) if self.chance() < 0.93 else self.pick(BAD_COORDINATES))

    def place(self) -> bytes:
        return self.pick((b"Palermo", b"Catania", b"Paris", b"null", b"Oakland", b"edge", b"Agrigento", b"nowhere"))

    def unit(self) -> bytes:
        return self.pick((b"m", b"km", b"ft", b"mi")) if self.chance() < 0.95 else self.pick((b"MM", b"KM", b"Mi", b""))

    def distance(self) -> bytes:
        chance = self.chance()
        if chance < 0.9:
            return self.pick((b"0", b"1", b"100", b"200", b"500", b"1000", b"20000", b"166274.15", b"5000000", b"1e10"))
        return self.pick((b"-1", b"abc", b"nan", b"inf", b"", b"9223372036854775807"))

    def streamid(self) -> bytes:
        chance = self.chance()
        if chance < 0.6:
            return b"%d-%d" % (self.random.randrange(0, 40), self.random.randrange(0, 4))
        if chance < 0.75:
            return b"%d" % self.random.randrange(0, 40)
        if chance < 0.85:
            return b"%d-*" % self.random.randrange(0, 60)
        return self.pick(
            (b"0-0", b"0", b"18446744073709551615-18446744073709551615", b"-", b"abc", b"1-2-3", b"", b"1-")
        )

    def newid(self) -> bytes:
        """An ID above all before it; a step back now and then would only repeat what `streamid` does."""
        if self.chance() < 0.4:
            self.last_sequence += 1
        else:
            self.last_ms += self.random.randrange(1, 3)
            self.last_sequence = 0 if self.chance() < 0.8 else self.random.randrange(200)
        if self.chance() < 0.1:
            return b"%d-*" % self.last_ms
        return b"%d-%d" % (self.last_ms, self.last_sequence)

    def oldid(self) -> bytes:
        """An ID near the last ones, often of an entry."""
        return b"%d-%d" % (max(0, self.last_ms - self.random.randrange(12)), self.pick((0, 0, 0, 1, 2)))

    def streambound(self) -> bytes:
        chance = self.chance()
        if chance < 0.4:
            return self.pick((b"-", b"+"))
        return b"(" + self.streamid() if chance < 0.5 else self.streamid()

    def group(self) -> bytes:
        return self.pick((b"g1", b"g2", b"g3")) if self.chance() < 0.97 else self.pick(BYTES)

    def consumer(self) -> bytes:
        return self.pick((b"alice", b"bob", b"carol"))

    # bit fields

    def bittype(self) -> bytes:
        if self.chance() < 0.95:
            return self.pick((b"u8", b"i8", b"u4", b"i5", b"u16", b"i16", b"u1", b"i64", b"u63", b"i32", b"u31"))
        return self.pick((b"u64", b"i65", b"u0", b"x8", b"8", b"u", b"i-1", b""))

    def bitoffset(self) -> bytes:
        chance = self.chance()
        if chance < 0.6:
            return b"%d" % self.random.randrange(0, 80)
        return b"#%d" % self.random.randrange(0, 9) if chance < 0.95 else self.pick((b"-1", b"#-1", b"#", b"x", b""))

    # sort

    def weightpattern(self) -> bytes:
        return self.pick((b"s*", b"h0->*", b"h*->f1", b"nosort", b"s1", b"*", b"h*->", b"->f", b"w*->f->g"))

    def getpattern(self) -> bytes:
        return self.pick((b"#", b"s*", b"h*->f1", b"missing*", b"h*->a", b"s1", b"*->"))
