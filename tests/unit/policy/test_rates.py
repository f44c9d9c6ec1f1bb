"""Whom a call counts for."""

from collections.abc import Callable, Sequence

import pytest

from gateway.permit import NOBODY, Refusal, Subject
from gateway.policy.rate_limit import Due
from gateway.policy.rate_memory import MemoryCounts
from gateway.policy.rate_redis import RedisCounts
from gateway.policy.rates import Rates
from gateway.settings.limits import Limits

ANN = Subject("ann", issuer="https://a.example/")
PATH = b"/shop.v1.Orders/Get"


class Noted:
    """Says yes, and remembers whom it was asked about."""

    def __init__(self) -> None:
        self.due: list[str] = []

    def take(self, due: Sequence[Due], then: Callable[[Refusal | None], None]) -> None:
        self.due += [key for _, key in due]
        then(None)

    async def start(self) -> None:
        """Never asked."""

    async def close(self) -> None:
        """Never asked."""


def made(*keys: str) -> tuple[Rates, Noted]:
    limits = {"rate": [{"key": key, "limit": "1/second"} for key in keys]}
    rates = Rates(Limits.model_validate(limits))
    rates.counts = noted = Noted()
    return rates, noted


def then(refusal: Refusal | None) -> None:
    assert refusal is None


def test_without_rates_nothing_is_counted() -> None:
    assert Rates.of(Limits()) is None


def test_a_peer_is_counted_by_its_address() -> None:
    rates, noted = made("subject", "peer", "method")
    rates.of_peer("2001:db8::1", then)
    rates.of_peer("192.0.2.1", then)
    assert noted.due == ["peer/1/1s/2001:db8::/64", "peer/1/1s/192.0.2.1"]


def test_a_call_is_counted_by_its_subject_and_then_by_its_method() -> None:
    rates, noted = made("method", "peer", "subject")
    rates.of_call(PATH, ANN, (), then)
    subject, method = noted.due
    assert subject.startswith("subject/1/1s/")
    assert method == "method/1/1s/shop.v1.Orders/Get"


def test_a_storage_learns_no_names_of_subjects() -> None:
    rates, noted = made("subject")
    rates.of_call(PATH, Subject("ann@example.com" * 500, issuer="https://a.example/"), (), then)
    (key,) = noted.due
    assert "ann" not in key
    assert len(key) < 64


def test_callers_are_told_apart() -> None:
    rates, noted = made("subject")
    callers: list[tuple[Subject, tuple[str, ...]]] = [
        (ANN, ()),
        (Subject("ann", issuer="https://b.example/"), ()),
        (Subject("bob", issuer="https://a.example/"), ()),
        (NOBODY, ("CN:batch",)),
        (NOBODY, ("CN:batch", "DNS:ops.internal")),
        (NOBODY, ("DNS:ops.internal",)),
    ]
    for subject, identities in callers:
        rates.of_call(PATH, subject, identities, then)
    assert len(set(noted.due)) == len(noted.due) == len(callers)
    rates.of_call(PATH, ANN, ("CN:batch",), then)  # the token's subject, whatever the certificate
    assert noted.due[-1] == noted.due[0]


def test_nobody_is_not_counted_as_a_subject() -> None:
    rates, noted = made("subject")
    rates.of_call(PATH, NOBODY, (), then)
    assert noted.due == []


def test_long_made_up_methods_share_a_count() -> None:
    rates, noted = made("method")
    for number in range(3):
        rates.of_call(b"/shop.v1.Orders/" + b"x" * 8000 + b"%d" % number, ANN, (), then)
    assert len(set(noted.due)) == 1
    assert len(noted.due[0]) < 300


@pytest.mark.parametrize(
    ("storage", "kind"), [("memory", MemoryCounts), ("redis://:hunter2@127.0.0.1:1/2", RedisCounts)]
)
async def test_where_it_is_counted(storage: str, kind: type) -> None:
    limits = {"rate": [{"key": "peer", "limit": "1/second"}], "rate_storage": storage}
    rates = Rates.of(Limits.model_validate(limits))
    assert rates is not None
    assert isinstance(rates.counts, kind)
    await rates.close()
