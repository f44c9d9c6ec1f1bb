"""grpc-timeout: up to eight digits and a unit (PROTOCOL-HTTP2.md, "Timeout").

Rule: never more time than was given. Reading is lenient in one place: clients that write milliseconds with more than
eight digits mean what they say, so the value counts as it stands, up to the longest that the wire can say.
"""

import re

from gateway.protocol.status import Code, WireError

MAX_DIGITS = 8
MAX_TIMEOUT = 99_999_999 * 3600.0  # seconds

_NANOS = 1_000_000_000
_TIMEOUT = re.compile(rb"([0-9]+)([HMSmun])")
_SECONDS = {b"H": 3600, b"M": 60, b"S": 1}
_FRACTIONS = {b"m": 1_000, b"u": 1_000_000, b"n": _NANOS}

# From fine to coarse; each with how many of it make one of the next.
_UNITS = ((b"n", 1000), (b"u", 1000), (b"m", 1000), (b"S", 60), (b"M", 60))
_TOO_LONG = 100_000_000


def parse(raw: bytes) -> float:
    """grpc-timeout in seconds, at most `MAX_TIMEOUT`; 0.0 has expired. Raises WireError INVALID_ARGUMENT."""
    match = _TIMEOUT.fullmatch(raw)
    if match is None or (len(match[1]) > MAX_DIGITS and match[2] != b"m"):
        raise WireError(Code.INVALID_ARGUMENT, "grpc-timeout is not up to eight digits and one of H M S m u n")
    digits, unit = match[1].lstrip(b"0"), match[2]
    if len(digits) > 21:  # more than MAX_TIMEOUT in any unit; int() refuses thousands of digits
        return MAX_TIMEOUT
    amount = int(digits or b"0")
    # Divided, not multiplied by 0.001: the quotient is the float nearest to the decimal.
    seconds = amount / _FRACTIONS[unit] if unit in _FRACTIONS else float(amount * _SECONDS[unit])
    return min(seconds, MAX_TIMEOUT)


def render(seconds: float) -> bytes:
    """`seconds` as grpc-timeout, in the shortest form that keeps what eight digits can; nothing left is `0n`."""
    if not seconds > 0:
        return b"0n"
    seconds = min(seconds, MAX_TIMEOUT)
    whole = int(seconds)
    amount = whole * _NANOS + round((seconds - whole) * _NANOS)  # apart, and in integers: a product would not be exact
    if amount / _NANOS > seconds:
        amount -= 1
    if not amount:
        return b"0n"
    for unit, step in _UNITS:
        if amount < _TOO_LONG and amount % step:
            return b"%d%b" % (amount, unit)
        amount //= step
    return b"%dH" % amount
