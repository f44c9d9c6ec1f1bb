"""Which upstream a service goes to."""

import pytest

from gateway.settings.route import route

SERVICES = {"a.b.C": "service", "a.b.*": "package", "a.*": "longer", "*": "rest"}


@pytest.mark.parametrize(
    ("service", "upstream"),
    [
        ("a.b.C", "service"),
        ("a.b.D", "package"),
        ("a.b.c.D", "package"),
        ("a.C", "longer"),
        ("a", "rest"),
        ("a.b", "longer"),
        ("ab.C", "rest"),
        ("C", "rest"),
    ],
)
def test_the_most_particular_entry(service: str, upstream: str) -> None:
    assert route(service, SERVICES) == upstream


def test_no_entry() -> None:
    assert route("x.Y", {"a.b.C": "service", "a.*": "package"}) is None
    assert route("a", {"a.*": "package"}) is None
