"""One difference that is known: in which cases, in which fields, why, and who is right by which specification.

Rule: a row says exactly where it holds. A case that it names and that does not differ so any more is as wrong as a
difference that no row names.
"""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from tests.envoy.corpus.case import OVER_HTTP2
from tests.envoy.observation import Observation

ABSENT = "-"  # a field that was not seen
SAME = "{gateway}"  # in what Envoy has: what the gateway has

Fields = Mapping[str, tuple[str, str]]  # field -> what the gateway and what Envoy has there; * stands for anything
When = Callable[[Observation, Observation], bool]


class Right(enum.Enum):
    GATEWAY = "the gateway"
    ENVOY = "Envoy"
    BOTH = "both"
    NEITHER = "neither"


def always(_gateway: Observation, _envoy: Observation) -> bool:
    return True


def both_reach(gateway: Observation, envoy: Observation) -> bool:
    """Both have let the case through to the backend, and what that saw is compared."""
    return "backend path" in gateway and "backend path" in envoy and gateway["backend calls"] == envoy["backend calls"]


def envoy_refuses(_gateway: Observation, envoy: Observation) -> bool:
    """Envoy has answered by itself."""
    return envoy["backend calls"] == "0" and envoy["ended"] == "whole"


def both_refuse(gateway: Observation, envoy: Observation) -> bool:
    return gateway["backend calls"] == "0" and envoy_refuses(gateway, envoy)


def both_refuse_as_a_call(gateway: Observation, envoy: Observation) -> bool:
    """The gateway has found it to be a call, and Envoy's answer is one to a call."""
    return both_refuse(gateway, envoy) and all(
        "application/grpc-web" in each.get("content-type", "") for each in (gateway, envoy)
    )


def both_expose(gateway: Observation, envoy: Observation) -> bool:
    """Both say what a page may read, and Envoy's answer has no challenge."""
    return all("access-control-expose-headers" in each for each in (gateway, envoy)) and "www-authenticate" not in envoy


@dataclass(frozen=True, slots=True)
class At:
    """Where a row holds: in all `cases` ("section/name", * stands for anything) save `but`, and all these fields."""

    cases: tuple[str, ...] | str
    fields: Fields
    when: When = always
    but: tuple[str, ...] = ()

    @property
    def patterns(self) -> tuple[str, ...]:
        return (self.cases,) if isinstance(self.cases, str) else self.cases

    def names(self, case: str) -> bool:
        """What is said of a case holds for the same over HTTP/2."""
        return _any_fits(self.patterns, case) and not _any_fits(self.but, case)

    def says(self, case: str) -> Fields:
        """Of a case that it names. What HTTP/1.1 makes of the connection says nothing of HTTP/2."""
        if case.endswith(OVER_HTTP2) and not any(each.endswith(OVER_HTTP2) for each in self.patterns):
            return {field: pair for field, pair in self.fields.items() if field != "connection"}
        return self.fields


@dataclass(frozen=True, slots=True)
class Row:
    """The texts are for people; `source` is the specification that decides."""

    what: str
    gateway: str
    envoy: str
    why: str
    right: Right
    source: str
    at: tuple[At, ...]


def _any_fits(patterns: tuple[str, ...], case: str) -> bool:
    names = {case, case.removesuffix(OVER_HTTP2)}
    return any(fits(pattern, name) for pattern in patterns for name in names)


def fits(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


def fit(listed: tuple[str, str], seen: tuple[str, str]) -> bool:
    """Whether what both have is what a row says."""
    return fits(listed[0], seen[0]) and fits(listed[1].replace(SAME, seen[0]), seen[1])


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
