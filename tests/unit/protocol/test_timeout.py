import math

import pytest

from gateway.protocol.status import Code, WireError
from gateway.protocol.timeout import MAX_TIMEOUT, parse, render


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"5S", 5.0),
        (b"1009m", 1.009),
        (b"7u", 0.000007),
        (b"1n", 0.000000001),
        (b"0S", 0.0),
        (b"0n", 0.0),
        (b"00000005S", 5.0),
        (b"99999999n", 0.099999999),
        (b"99999999H", MAX_TIMEOUT),
        (b"123456789m", 123456.789),  # more than eight digits: as it stands
        (b"0000000000000000000000000000001m", 0.001),
        (b"9007199254740991m", 9007199254740.991),
        (b"9" * 5000 + b"m", MAX_TIMEOUT),
        (b"0" * 5000 + b"m", 0.0),
    ],
)
def test_parse(raw: bytes, seconds: float) -> None:
    assert parse(raw) == min(seconds, MAX_TIMEOUT)


@pytest.mark.parametrize(
    "raw",
    [
        *b"S 5 5s 5h 5N 5U -5S +5S 5.0S 5SS 5S5 1e3S 0x5S 1_0S infS 5S,6S \xff".split(),
        *[b"100000000H", b"000000001S", b"123456789u", b"9" * 5000 + b"n"],  # more than eight digits
        *[b"", b" 5S", b"5S ", b"5 S", b"5S\n", "٣S".encode(), b"9" * 5000],
    ],
)
def test_malformed(raw: bytes) -> None:
    with pytest.raises(WireError) as error:
        parse(raw)
    assert error.value.status.code == Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("seconds", "raw"),
    [
        (0.0, b"0n"),
        (-1.0, b"0n"),
        (-math.inf, b"0n"),
        (math.nan, b"0n"),
        (1e-10, b"0n"),
        (1e-9, b"1n"),
        (0.001, b"1m"),
        (1.009, b"1009m"),
        (5.0, b"5S"),
        (90.0, b"90S"),
        (120.0, b"2M"),
        (7200.0, b"2H"),
        (4.987654321, b"4987654u"),  # cut, not rounded to 4987655
        (0.0999999999, b"99999999n"),
        (100.0000001, b"100S"),
        (99999.9999, b"99999999m"),
        (1e8 + 59, b"1666667M"),
        (37_499_251 * 3600.0, b"37499251H"),
        (math.inf, b"99999999H"),
        (1e300, b"99999999H"),
    ],
)
def test_render(seconds: float, raw: bytes) -> None:
    assert render(seconds) == raw
