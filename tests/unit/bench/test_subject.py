"""How subjects are found and started."""

import subprocess
from pathlib import Path

import pytest

from bench.process import BenchError
from bench.subject import envoy
from bench.subject.gateway import _listeners


def test_ports_of_envoy_go_by_the_names_of_its_listeners() -> None:
    """The admin page lists them in no particular order."""
    page = """{"listener_statuses": [
        {"name": "listener_1", "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 2}}},
        {"name": "listener_0", "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}}]}"""
    assert envoy.listeners(page) == ["http://127.0.0.1:1", "https://127.0.0.1:2"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"event": "ready", "listeners": ["http://127.0.0.1:1"]}', ["http://127.0.0.1:1"]),
        ('{"event": "call"}', None),
        ("warning: something", None),
    ],
)
def test_ready_event_of_the_gateway(line: str, found: list[str] | None) -> None:
    assert _listeners(line) == found


def test_envoys_configuration_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def make(arguments: list[str | Path], **_more: object) -> "subprocess.CompletedProcess[str]":
        output = Path(arguments[-1])
        output.write_text("made")
        made.append(output)
        return subprocess.CompletedProcess(arguments, 0, "", "a warning")

    monkeypatch.setattr(subprocess, "run", make)
    assert envoy.rendered(tmp_path / "gateway.yaml") == envoy.rendered(tmp_path / "gateway.yaml")
    assert len(made) == 1


def test_what_envoy_cannot_do_is_told(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("listeners: []\n")
    with pytest.raises(BenchError, match=r"grpcweb-gateway envoy ended with 1: .*gateway.yaml"):
        envoy.rendered(tmp_path / "gateway.yaml")
