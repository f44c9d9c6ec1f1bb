"""What is missing, and what to do about it."""

import json
import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from gateway import extras


def test_what_is_missing() -> None:
    assert extras.missing(["json", "no_such_library", "no_such_package.at_all"]) == [
        "no_such_library",
        "no_such_package.at_all",
    ]


@pytest.mark.parametrize(
    ("origin", "option"),
    [
        (None, ""),
        ({"url": "file:///src", "dir_info": {}}, ""),
        ({"url": "file:///src", "dir_info": {"editable": False}}, ""),
        ({"url": "file:///src/x.whl", "archive_info": {}}, ""),
        ({"url": "file:///src", "dir_info": {"editable": True}}, "-e "),
    ],
)
def test_what_to_install_leaves_a_checkout_in_use(
    origin: object, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if origin is not None:
        (tmp_path / "direct_url.json").write_text(json.dumps(origin))

    def installed(_name: str) -> Distribution:
        return PathDistribution(tmp_path)

    monkeypatch.setattr(extras, "distribution", installed)
    monkeypatch.setattr(sys, "executable", "/a b/python")
    assert extras.to_install("demo") == f"in a checkout: '/a b/python' -m pip install {option}'.[demo]'"
    assert extras.to_install("demo", "envoy") == f"in a checkout: '/a b/python' -m pip install {option}'.[demo,envoy]'"
