"""Number grammar: what counts as a number in a request, and how numbers are written in a reply.

Owns the bytes <-> int, double and 80-bit long double conversions with Redis 7.4's grammar and printing. Must
not know which command asks: every refusal here is a ValueError (or its subclass `NotFinite`), the caller
chooses the client's text.

Invariants:
- nothing depends on the locale, the platform's long double or `sys.get_int_max_str_digits()`;
- `parse_int(format of an int)` and `parse_float(format_float(x))` give the number back.

Assumption behind the layout: integers and short decimals are nearly all of the traffic, so each parser tries
the interpreter's own conversion first and checks afterwards what that conversion accepts and Redis does not.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Union

    Bytes = Union[bytes, bytearray]
    LongDouble = tuple[int, int]  # (significand, exponent): significand * 2**exponent, significand of 64 bits

INT32_MIN = -(2**31)
INT32_MAX = 2**31 - 1
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
UINT64_MAX = 2**64 - 1

SHORT_DIGITS = 16  # so many digits are a double without looking any further
_WHITESPACE = b" \t\n\v\f\r"  # isspace() in the C locale
_ZERO = 48
_MINUS = 45
_UNDERSCORE = 95  # Python's grammar allows it between digits, C's does not

_INFINITIES = (b"inf", b"infinity")
_INF = float("inf")
_ENDS = {b"-inf": -_INF, b"+inf": _INF, b"inf": _INF}  # as ranges are mostly left open

# The x87 extended format: significand, unit of the smallest subnormal, first power of two out of range.
_SIGNIFICAND_BITS = 64
_MIN_EXPONENT = -16445
_MAX_MAGNITUDE = 16384
MAX_LONG_DOUBLE_CHARS = 5 * 1024  # the buffer (with a final NUL) that Redis copies a long double's text into
MAX_INT64_DIGITS = 19
MAX_INTEGER_CHARS = 20  # with a sign
_HUMAN_DIGITS = 17  # decimals of the human form, before trailing zeros go

# Python 3.11 refuses int <-> decimal conversions beyond 4300 digits; longer numbers are converted in pieces.
_PIECE = 4000
_PIECE_POWER = 10**_PIECE
_EXPONENT_DIGITS = 8  # a longer exponent is out of every range whatever it says


class NotFinite(ValueError):
    """The sum would be an infinity or not a number."""


# ---------------------------------------------------------------------------------------------- integers


def parse_int(text: Bytes) -> int:
    """Read a canonical signed 64 bit decimal: no plus, spaces, leading zeros or "-0". Else ValueError."""
    # 18 digits always fit; isdigit() first makes this 0.11 us where int() plus re-formatting takes 0.25 us.
    if text.isdigit():
        if text[0] != _ZERO:
            if len(text) < 19:
                return int(text)
            if len(text) == 19:
                number = int(text)
                if number <= INT64_MAX:
                    return number
        elif len(text) == 1:
            return 0
    elif text[:1] == b"-":
        digits = text[1:]
        if digits.isdigit() and digits[0] != _ZERO and len(digits) < 20:
            number = -int(digits)
            if number >= INT64_MIN:
                return number
    raise ValueError("not a canonical 64 bit integer")


def is_integer(text: Bytes) -> bool:
    """Whether `parse_int` reads it: what Redis keeps as a number."""
    if len(text) > MAX_INTEGER_CHARS:
        return False
    try:
        parse_int(text)
    except ValueError:
        return False
    return True


def parse_unsigned(text: Bytes) -> int:
    """Read an unsigned 64 bit integer as scan cursors and stream identifiers do. Else ValueError.

    A canonical signed integer must not be negative. Anything else goes by strtoull(3): leading space, a sign
    and leading zeros are allowed, a minus wraps around, and the text ends at its first NUL.
    """
    if text.isdigit() and len(text) < 19:
        return int(text)
    text = bytes(text).partition(b"\0")[0]
    try:
        number = parse_int(text)
    except ValueError:
        pass
    else:
        if number < 0:
            raise ValueError("negative")
        return number
    digits = text.lstrip(_WHITESPACE)
    negative = digits[:1] == b"-"
    if digits[:1] in (b"-", b"+"):
        digits = digits[1:]
    if not digits.isdigit():
        raise ValueError("not an unsigned integer")
    digits = digits.lstrip(b"0") or b"0"
    if len(digits) > 20 or int(digits) > UINT64_MAX:
        raise ValueError("not an unsigned 64 bit integer")
    number = int(digits)
    return -number & UINT64_MAX if negative else number


def leading_int(text: Bytes) -> int:
    """The number a text begins with as atoi(3) reads it, cut to 32 bits; 0 if there is none."""
    return wrap_int32(leading_long(text))


def leading_long(text: Bytes) -> int:
    """The number a text begins with as atoll(3) reads it, the nearest of 64 bits; 0 if there is none."""
    digits = bytes(text).lstrip(_WHITESPACE)
    sign = digits[:1]
    if sign in (b"-", b"+"):
        digits = digits[1:]
    length = len(digits) - len(digits.lstrip(b"0123456789"))
    if length > MAX_INT64_DIGITS:
        digits = digits[:length].lstrip(b"0")[: MAX_INT64_DIGITS + 1]  # more of them say no more
        length = len(digits)
    number = int(digits[:length] or b"0")
    return max(-number, INT64_MIN) if sign == b"-" else min(number, INT64_MAX)


def wrap_int32(number: int) -> int:
    """What is left of a number that C keeps in an int."""
    return (number - INT32_MIN) % (1 << 32) + INT32_MIN


# ---------------------------------------------------------------------------------------------- doubles


def parse_float(text: Bytes) -> float:
    """Read a double as strtod(3) would, hexadecimal and infinities included. Else ValueError.

    Refused: nothing, leading or trailing space, an embedded NUL, not-a-number, and what is out of range (a
    finite number too large, or one that is not zero but rounds to it).
    """
    try:
        number = float(text)
    except ValueError:
        return _parse_hexadecimal(text)
    # The difference is zero for finite numbers only.
    if number - number == 0.0 and number and text[0] > 32 and text[-1] > 32 and _UNDERSCORE not in text:
        return number
    return _parse_unusual(bytes(text), number)


def _parse_unusual(text: bytes, number: float) -> float:
    """Judge what Python reads as zero, infinity or NaN, or only because its grammar is wider than C's."""
    if text[0] <= 32 or text[-1] <= 32 or _UNDERSCORE in text or number != number:
        raise ValueError("not a double")
    text = text.lower()
    if number - number != 0.0:
        if text.lstrip(b"+-") not in _INFINITIES:
            raise ValueError("overflow")
    elif not number and text.partition(b"e")[0].strip(b"+-0."):
        raise ValueError("underflow")
    return number


def _parse_hexadecimal(text: Bytes) -> float:
    significand, exponent = _hexadecimal_parts(bytes(text))
    if not significand:
        return -0.0 if text[:1] == b"-" else 0.0
    # 2**1200 and 2**-1200 are far outside a double's range: stop there, the exponent may be any number.
    magnitude = significand.bit_length() + exponent
    if not -1200 < magnitude < 1200:
        raise ValueError("out of range")
    try:
        number = significand / (1 << -exponent) if exponent < 0 else float(significand << exponent)
    except OverflowError:
        raise ValueError("overflow") from None
    if not number:
        raise ValueError("underflow")
    return number


def parse_score_bound(text: bytes) -> tuple[float, bool]:
    """Read one end of a score range: (bound, whether it is excluded). Else ValueError.

    `(1.5` excludes its end. The number is read more loosely than elsewhere, as Redis does: leading space is
    skipped, the text ends at its first NUL, nothing at all is zero, and out of range is an infinity or zero.
    """
    if text.isdigit() and len(text) < SHORT_DIGITS:
        return float(text), False  # 0.4 -> 0.2 us
    end = _ENDS.get(text)
    if end is not None:
        return end, False  # 1.0 -> 0.2 us
    excluded = text[:1] == b"("
    if excluded:
        text = text[1:]
    try:
        return parse_float(text), excluded
    except ValueError:
        pass
    number_text = bytes(text).partition(b"\0")[0]
    if not number_text:
        return 0.0, excluded
    number_text = number_text.lstrip(_WHITESPACE)
    if not number_text or number_text[-1] <= 32 or _UNDERSCORE in number_text:
        raise ValueError("not a bound")
    try:
        number = float(number_text)
    except ValueError:
        significand, exponent = _hexadecimal_parts(number_text)
        magnitude = significand.bit_length() + exponent
        if significand and magnitude > 1024:
            number = _INF
        elif not significand or magnitude < -1200:
            number = 0.0
        else:
            # Rounds to an infinity only in the last half unit below 2**1024.
            try:
                size = abs(significand)
                number = size / (1 << -exponent) if exponent < 0 else float(size << exponent)
            except OverflowError:
                number = _INF
        if number_text[:1] == b"-":
            number = -number
    if number != number:
        raise ValueError("not a number")
    return number, excluded


def parse_lex_bound(text: Bytes) -> tuple[int, bytes, bool]:
    """Read one end of a lexicographical range: (side, member, whether it is excluded). Else ValueError.

    The side is -1 for `-` (before every member), 1 for `+` (after every member), 0 for `[member` and
    `(member`. As in Redis, `-` and `+` may be followed by a NUL and anything after it.
    """
    mark = text[:1]
    if mark == b"[":
        return 0, bytes(text[1:]), False
    if mark == b"(":
        return 0, bytes(text[1:]), True
    if text[1:2] in (b"", b"\0"):
        if mark == b"-":
            return -1, b"", False
        if mark == b"+":
            return 1, b"", False
    raise ValueError("not a lexicographical bound")


# Powers of ten 10**-348, 10**-340 ... 10**340 as 64 bit significands with a binary exponent: what Grisu2
# (Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers", 2010) scales by.
# Built here (60 us) so that nobody has to trust a table of 87 constants.
_FIRST_POWER = -348
_LOG10_OF_2 = 0.30102999566398114  # of the published algorithm: one bit more or less chooses other powers
_POWER_STEP = 8


def _scaled_power(power: int) -> tuple[int, int]:
    """Return 10**power rounded to the nearest 64 bit significand, with its binary exponent."""
    if power >= 0:
        number = 10**power
        exponent = number.bit_length() - 64
        if exponent <= 0:
            return number << -exponent, exponent
        return (number + (1 << exponent - 1)) >> exponent, exponent
    divisor = 10**-power
    shift = divisor.bit_length() + 63
    quotient = (1 << shift + 1) // divisor
    if quotient >> 65:
        shift -= 1
        quotient >>= 1
    return (quotient + 1) >> 1, -shift


_WHOLE_LIMIT = 2.0**62

_POWERS = tuple(_scaled_power(_FIRST_POWER + _POWER_STEP * step) for step in range(87))


def format_float(number: float) -> bytes:
    """Print a double as Redis 7.4 does in ZSCORE and in RESP3 doubles.

    Whole numbers up to 2**62 are printed in full. Others get the digits of Grisu2, which are the shortest
    that read back as the same double, but for about one double in two hundred, where there are more or the
    last one differs. (Redis 7.0 prints `%.17g`.)
    """
    if number - number != 0.0:
        if number != number:
            return b"nan"
        return b"inf" if number > 0 else b"-inf"
    if -_WHOLE_LIMIT <= number <= _WHOLE_LIMIT:
        whole = int(number)
        if whole == number:
            return b"%d" % whole if whole or str(number)[0] != "-" else b"-0"
        # At most 15 digits: no other decimal of so few lies within half a unit in the last place, so Grisu2
        # finds it too, unless it is so near the edge that the error margin hides it (1/64 of the half unit is
        # left out here, Grisu2 errs by less than 1/500). 0.8 us where Grisu2 itself takes 4 us.
        text = repr(number)
        if len(text) < 17 and (number * 16.0).is_integer():
            return text.encode()  # halves, quarters, ...: these digits are all there are
        if len(text) < 17 and "e" not in text:
            digits, _, decimals = text.partition(".")
            scale = 10 ** len(decimals)
            numerator, denominator = number.as_integer_ratio()
            error = abs(int(digits + decimals) * denominator - numerator * scale)
            # The numerator is odd: a unit in the last place is 2**(bits - 53) / denominator. A power of two
            # has half as much room below it.
            bits = numerator.bit_length()
            if not error or (bits > 1 and error << 60 - bits < 63 * scale):
                if len(decimals) < 7 or 1e-3 <= number < 1e4 or -1e4 < number <= -1e-3:
                    return text.encode()
                significant = (digits + decimals).lstrip("-0")
                return _lay_out(number < 0, significant, -len(decimals))
    digits, exponent = _grisu2(abs(number))
    return _lay_out(number < 0, digits, exponent)


def format_digits(number: float) -> bytes:
    """Print a double as Redis 7.4 does in DEBUG DIGEST: as `format_float`, but whole numbers like others (1e+15)."""
    if not number or number - number != 0.0:
        return format_float(number)
    digits, exponent = _grisu2(abs(number))
    return _lay_out(number < 0, digits, exponent)


def _lay_out(negative: bool, digits: str, exponent: int) -> bytes:
    """Write digits * 10**exponent in the style of Redis's printer: in full while that stays short."""
    magnitude = abs(exponent + len(digits) - 1)
    if exponent >= 0 and magnitude < len(digits) + 7:
        digits += "0" * exponent
    elif exponent < 0 and (exponent > -7 or magnitude < 4):
        whole = len(digits) + exponent
        digits = "0." + "0" * -whole + digits if whole <= 0 else digits[:whole] + "." + digits[whole:]
    else:
        sign = "-" if exponent + len(digits) < 1 else "+"
        digits = digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + "e" + sign + str(magnitude)
    return ("-" + digits if negative else digits).encode()


def _grisu2(number: float) -> tuple[str, int]:
    """Return (digits, exponent) of a positive finite double as Grisu2 prints it; about 4 us."""
    numerator, denominator = number.as_integer_ratio()
    # The double as the hardware holds it: significand * 2**exponent, 53 bits unless subnormal.
    exponent = max(numerator.bit_length() - denominator.bit_length() - 52, -1074)
    significand = (numerator << -exponent) // denominator if exponent < 0 else numerator >> exponent
    # Half way to the neighbours, and the double itself, as 64 bit significands of one exponent.
    upper = 2 * significand + 1
    shift = 64 - upper.bit_length()
    upper <<= shift
    exponent -= 1 + shift
    value = significand << shift + 1
    if significand == 1 << 52:
        lower = (4 * significand - 1) << shift - 1
    else:
        lower = (2 * significand - 1) << shift

    # A power that brings the exponent between -60 and -32.
    step = int((int(-(exponent + len(_POWERS)) * _LOG10_OF_2) - _FIRST_POWER) / _POWER_STEP)
    while True:
        power, power_exponent = _POWERS[step]
        scaled_exponent = exponent + power_exponent + 64
        if scaled_exponent < -60:
            step += 1
        elif scaled_exponent > -32:
            step -= 1
        else:
            break
    half = 1 << 63
    value = (value * power + half) >> 64
    upper = ((upper * power + half) >> 64) - 1
    lower = ((lower * power + half) >> 64) + 1

    # Cut digits off `upper` as long as what remains stays above `lower`.
    point = -scaled_exponent
    distance = upper - value
    room = upper - lower
    whole = upper >> point
    rest = upper & ((1 << point) - 1)
    decimal = -(_FIRST_POWER + _POWER_STEP * step)
    unit = 1 << point
    if rest <= room:
        # The cut falls left of the point: at the largest power of ten whose remainder fits.
        cut = 10 ** len(str(whole))
        while True:
            cut //= 10
            digits, left = divmod(whole, cut)
            left = (left << point) + rest
            if left <= room:
                break
        decimal += len(str(cut)) - 1
        unit = cut << point
        rest = left
    else:
        digits = whole
        mask = unit - 1
        while rest >= room:
            rest *= 10
            room *= 10
            distance *= 10
            digits = digits * 10 + (rest >> point)
            rest &= mask
            decimal -= 1
    # Step down towards the double while that brings the last digit nearer to it.
    while rest < distance and room - rest >= unit:
        if rest + unit >= distance and distance - rest <= rest + unit - distance:
            break
        digits -= 1
        rest += unit
    return str(digits), decimal


def format_fixed(number: float, digits: int) -> bytes:
    """Print a double with a fixed number of decimals, as 7.4 prints distances.

    Scaled as a double, then rounded with ties to even: not always what printf's `%.4f` gives.
    """
    scaled = round(number * 10.0**digits)
    text = b"%0*d" % (digits + 1, abs(scaled))
    return (b"-" if scaled < 0 else b"") + text[:-digits] + b"." + text[-digits:]


def format_human(number: float) -> bytes:
    """Print a double exactly to 17 decimals without trailing zeros, as 7.4 prints coordinates."""
    if number - number != 0.0:
        return format_float(number)
    return _trim(b"%.*f" % (_HUMAN_DIGITS, number))


def _trim(text: bytes) -> bytes:
    text = text.rstrip(b"0").rstrip(b".")
    return b"0" if text == b"-0" else text


# ------------------------------------------------------------------------------------ 80 bit long doubles


def long_double_add(a: Bytes, b: Bytes) -> bytes:
    """Add two numbers as INCRBYFLOAT does. Bad text is a ValueError, an infinity the ValueError NotFinite."""
    return format_long_double(add_long_doubles(parse_long_double(a), parse_long_double(b)))


def add_long_doubles(a: LongDouble, b: LongDouble) -> LongDouble:
    """Return the rounded sum; raise NotFinite when an operand or the sum is an infinity."""
    significand_a, exponent_a = a
    significand_b, exponent_b = b
    if exponent_a > exponent_b:
        significand_a <<= exponent_a - exponent_b
        exponent_a = exponent_b
    else:
        significand_b <<= exponent_b - exponent_a
    if exponent_a >= _MAX_MAGNITUDE or exponent_b >= _MAX_MAGNITUDE:
        raise NotFinite("infinity")
    result = _rounded(significand_a + significand_b, exponent_a, False)
    if result is None:
        raise NotFinite("overflow")
    return result


def parse_long_double(text: Bytes) -> LongDouble:
    """Read a long double with strtold's grammar and `parse_float`'s refusals. Else ValueError.

    An infinity is returned with an exponent no number has; `add_long_doubles` refuses it.
    """
    if len(text) >= MAX_LONG_DOUBLE_CHARS:
        raise ValueError("too long")
    text = bytes(text)
    unsigned = text[1:] if text[:1] in (b"-", b"+") else text
    inexact = False
    if unsigned[:2] in (b"0x", b"0X"):
        number, exponent = _hexadecimal_parts(text)
    elif unsigned.lower() in _INFINITIES:
        return (-1 if text[:1] == b"-" else 1), _MAX_MAGNITUDE
    else:
        digits, exponent = _decimal_parts(unsigned)
        number = int(digits) if len(digits) <= _PIECE else _int_of_pieces(digits)
        # Keeps 10**exponent small: beyond these the result is out of range anyway.
        if number and not -5100 < exponent + len(digits) < 15300:
            raise ValueError("out of range")
        if not number:
            exponent = 0
        elif exponent >= 0:
            number *= 10**exponent
            exponent = 0
        else:
            divisor = 10**-exponent
            # Two bits more than a significand, so that dividing and then rounding rounds once.
            shift = max(_SIGNIFICAND_BITS + 2 - number.bit_length() + divisor.bit_length(), 0)
            number, remainder = divmod(number << shift, divisor)
            inexact = remainder != 0
            exponent = -shift
        if text[:1] == b"-":
            number = -number
    result = _rounded(number, exponent, inexact)
    if result is None:
        raise ValueError("overflow")
    if (number or inexact) and not result[0]:
        raise ValueError("underflow")
    return result


def _rounded(number: int, exponent: int, inexact: bool) -> Optional[LongDouble]:
    """Round number * 2**exponent to the nearest long double, ties to even; None when it is too large.

    `inexact` says that the true value lies a little further from zero than `number`.
    """
    magnitude = abs(number)
    bits = magnitude.bit_length()
    excess = max(bits - _SIGNIFICAND_BITS, _MIN_EXPONENT - exponent)
    if excess > 0:
        if excess > bits + 1:
            return 0, 0
        rest = magnitude & ((1 << excess) - 1)
        magnitude >>= excess
        exponent += excess
        half = 1 << (excess - 1)
        if rest > half or (rest == half and (inexact or magnitude & 1)):
            magnitude += 1
    if not magnitude:
        return 0, 0
    if magnitude.bit_length() + exponent > _MAX_MAGNITUDE:
        return None
    return (-magnitude if number < 0 else magnitude), exponent


def format_long_double(number: LongDouble) -> bytes:
    """Print a long double exactly to 17 decimals without trailing zeros: what INCRBYFLOAT stores."""
    significand, exponent = number
    if exponent >= _MAX_MAGNITUDE:
        return b"inf" if significand > 0 else b"-inf"
    scaled = abs(significand) * 10**_HUMAN_DIGITS
    if exponent >= 0:
        scaled <<= exponent
    else:
        rest = scaled & ((1 << -exponent) - 1)
        scaled >>= -exponent
        half = 1 << (-exponent - 1)
        if rest > half or (rest == half and scaled & 1):
            scaled += 1
    if not scaled:
        return b"0"
    if scaled < _PIECE_POWER:
        text = b"%0*d" % (_HUMAN_DIGITS + 1, scaled)
    else:
        text = b"%d%0*d" % (scaled // _PIECE_POWER, _PIECE, scaled % _PIECE_POWER)
    text = _trim(text[:-_HUMAN_DIGITS] + b"." + text[-_HUMAN_DIGITS:])
    return b"-" + text if significand < 0 else text


# ------------------------------------------------------------------------------------------- the grammar


def _decimal_parts(unsigned: bytes) -> tuple[bytes, int]:
    """Split an unsigned decimal number into (digits, power of ten). Else ValueError."""
    significand, mark, exponent_text = unsigned.lower().partition(b"e")
    whole, _, decimals = significand.partition(b".")
    digits = whole + decimals
    if not digits.isdigit():
        raise ValueError("not a number")
    exponent = _exponent(exponent_text) if mark else 0
    return digits.lstrip(b"0") or b"0", exponent - len(decimals)


def _hexadecimal_parts(text: bytes) -> tuple[int, int]:
    """Split a hexadecimal number such as -0x1.8p3 into (significand, power of two). Else ValueError."""
    negative = text[:1] == b"-"
    unsigned = text[1:] if text[:1] in (b"-", b"+") else text
    if unsigned[:2] not in (b"0x", b"0X"):
        raise ValueError("not a number")
    significand, mark, exponent_text = unsigned[2:].lower().partition(b"p")
    whole, _, decimals = significand.partition(b".")
    digits = whole + decimals
    if not digits or digits.translate(None, b"0123456789abcdef"):
        raise ValueError("not a number")
    exponent = _exponent(exponent_text) if mark else 0
    number = int(digits, 16)
    return (-number if negative else number), exponent - 4 * len(decimals)


def _exponent(text: bytes) -> int:
    digits = text[1:] if text[:1] in (b"-", b"+") else text
    if not digits.isdigit():
        raise ValueError("not an exponent")
    digits = digits.lstrip(b"0") or b"0"
    # Bounded: no number has an exponent of more digits, and int() must not be given thousands.
    exponent = int(digits[:_EXPONENT_DIGITS]) if len(digits) <= _EXPONENT_DIGITS else 10**_EXPONENT_DIGITS
    return -exponent if text[:1] == b"-" else exponent


def _int_of_pieces(digits: bytes) -> int:
    number = 0
    for start in range(0, len(digits), _PIECE):
        piece = digits[start : start + _PIECE]
        number = number * 10 ** len(piece) + int(piece)
    return number
