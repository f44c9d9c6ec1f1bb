"""Descriptors: what methods there are, and rules that name others."""

from pathlib import Path

import pytest

import gateway.demo
from gateway.policy.descriptors import DescriptorsError, catalog, unknown_methods
from gateway.settings import Authorization

DEMO = (Path(gateway.demo.__file__).parent / "pb" / "demo.binpb").read_bytes()


def test_the_demo_has_its_methods_and_knows_the_unary_ones() -> None:
    known = catalog(DEMO)
    assert known.methods["/demo.v1.Demo/Count"] is False
    assert b"/demo.v1.Demo/Echo" in known.unary
    assert b"/demo.v1.Demo/Collect" not in known.unary
    assert known.services >= {"/demo.v1.Demo"}


def test_rules_that_name_what_is_not_there() -> None:
    rules = Authorization.model_validate(
        {
            "rules": [
                {"methods": ["/demo.v1.Demo/Echo", "/demo.v1.Demo/Ecko"], "roles": ["x"]},
                {"methods": ["/demo.v1.Demo/*", "/demo.v1.Demos/*"], "roles": ["x"]},
            ]
        }
    )
    assert list(unknown_methods(rules, catalog(DEMO))) == [
        (0, 1, "/demo.v1.Demo/Ecko", "/demo.v1.Demo/Echo"),
        (1, 1, "/demo.v1.Demos/*", "/demo.v1.Demo/*"),
    ]


@pytest.mark.parametrize("serialized", [b"\xff\xff\xff", b"not descriptors", b""])
def test_what_is_no_descriptor_set_is_said_so(serialized: bytes) -> None:
    with pytest.raises(DescriptorsError):
        catalog(serialized)
