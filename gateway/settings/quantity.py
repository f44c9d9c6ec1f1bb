"""Quantities as people write them: durations (`500ms 10s 5m 2h`), sizes (`64KiB 4MiB`), counts, ratios.

Rule: a number without its unit is refused. Nobody can tell whether 30 meant seconds or milliseconds.
"""

import re
from dataclasses import dataclass
from typing import NoReturn

from pydantic import ValidationInfo

from gateway.settings.kind import JsonSchema, Kind, Source, refuse

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"
SIZE_PATTERN = r"^[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)$"

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError with a text fit to show."""
    number, unit = _split(text, "a duration like 500ms, 10s, 5m or 2h", SECONDS)
    return float(number) * SECONDS[unit]


def parse_size(text: str) -> int:
    """Bytes. Raises ValueError with a text fit to show."""
    number, unit = _split(text, "a size like 64KiB or 4MiB", BYTES)
    if "." in number:
        raise ValueError(f"must be a whole number of {unit}, like 512KiB")
    return int(number) * BYTES[unit]


def format_duration(seconds: float) -> str:
    """The shortest exact spelling that `parse_duration` reads: 90.0 -> `90s`, 600.0 -> `10m`."""
    for unit in ("h", "m", "s"):
        if seconds and seconds % SECONDS[unit] == 0:
            return f"{int(seconds / SECONDS[unit])}{unit}"
    return f"{round(seconds * 1000, 3):g}ms" if seconds else "0s"


def format_size(size: int) -> str:
    """The shortest exact spelling that `parse_size` reads: 4194304 -> `4MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return f"{size}B"


@dataclass(frozen=True)
class Duration(Kind):
    """Float seconds; with `none`, the word `none` (or null) is None."""

    minimum: float = 0.001
    maximum: float = 366 * 86400.0
    none: bool = False
    native = (int, float, type(None))

    def accept(self, value: object, info: ValidationInfo) -> object:
        return None if self.none and value in (None, "none") else super().accept(value, info)

    def read(self, text: str, _source: Source, /) -> float:
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            refuse(f"{error}{', or none' if self.none else ''}")
        if not self.minimum <= seconds <= self.maximum:
            refuse(f"must be from {format_duration(self.minimum)} to {format_duration(self.maximum)}")
        return seconds

    def write(self, value: float, /) -> str:
        return format_duration(value)

    def shape(self) -> JsonSchema:
        shape: JsonSchema = {"type": "string", "pattern": DURATION_PATTERN, "examples": ["500ms", "10s", "5m", "2h"]}
        return {"anyOf": [shape, {"enum": ["none", None]}]} if self.none else shape

    def refuse_type(self, value: object, /) -> NoReturn:
        unit = f"needs a unit, like {value}s" if _is_number(value) else "must be a duration like 500ms, 10s, 5m or 2h"
        refuse(unit)


@dataclass(frozen=True)
class Size(Kind):
    """Bytes."""

    minimum: int
    maximum: int
    native = int

    def read(self, text: str, _source: Source, /) -> int:
        try:
            size = parse_size(text)
        except ValueError as error:
            refuse(str(error))
        if not self.minimum <= size <= self.maximum:
            refuse(f"must be from {format_size(self.minimum)} to {format_size(self.maximum)}")
        return size

    def write(self, value: int, /) -> str:
        return format_size(value)

    def shape(self) -> JsonSchema:
        return {"type": "string", "pattern": SIZE_PATTERN, "examples": ["64KiB", "4MiB"]}

    def refuse_type(self, value: object, /) -> NoReturn:
        unit = f"needs a unit, like {value}B" if _is_number(value) else "must be a size like 64KiB or 4MiB"
        refuse(unit)


@dataclass(frozen=True)
class Count(Kind):
    """A whole number; with `none`, the word `none` (or null) is None."""

    minimum: int = 1
    maximum: int = 1_000_000
    none: bool = False
    native = (int, type(None))

    def accept(self, value: object, info: ValidationInfo) -> object:
        if self.none and value in (None, "none"):
            return None
        if _is_number(value):
            value = str(value)
        return super().accept(value, info)

    def read(self, text: str, _source: Source, /) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            self.refuse_type(text)
        number = int(text)
        if not self.minimum <= number <= self.maximum:
            refuse(f"must be from {self.minimum} to {self.maximum}")
        return number

    def write(self, value: int, /) -> int:
        return value

    def shape(self) -> JsonSchema:
        shape: JsonSchema = {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}
        return {"anyOf": [shape, {"enum": ["none", None]}]} if self.none else shape

    def refuse_type(self, _value: object, /) -> NoReturn:
        refuse(f"must be a whole number{', or none' if self.none else ''}")


@dataclass(frozen=True)
class Ratio(Kind):
    """A part of a whole, from 0 to 1."""

    native = (int, float)

    def accept(self, value: object, info: ValidationInfo) -> object:
        return super().accept(str(value) if _is_number(value) else value, info)

    def read(self, text: str, _source: Source, /) -> float:
        try:
            number = float(text)
        except ValueError:
            self.refuse_type(text)
        if not 0.0 <= number <= 1.0:
            self.refuse_type(text)
        return number

    def write(self, value: float, /) -> float:
        return value

    def shape(self) -> JsonSchema:
        return {"type": "number", "minimum": 0, "maximum": 1}

    def refuse_type(self, _value: object, /) -> NoReturn:
        refuse("must be a number from 0 to 1, like 0.1")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _split(text: str, what: str, units: dict[str, float] | dict[str, int]) -> tuple[str, str]:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"must be {what}")
    number, unit = match.groups()
    if not unit:
        raise ValueError(f"needs a unit: must be {what}")
    if unit not in units:
        raise ValueError(f"unit {unit!r} is not one of {', '.join(units)}")
    return number, unit
