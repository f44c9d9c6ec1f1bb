"""Whether there are spans, and what is said when their libraries are missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import check
from gateway.extras import to_install
from gateway.observe import tracing
from gateway.settings import Settings, parse

URL = "http://127.0.0.1:4318/v1/traces"


def settings(otlp: str | None) -> Settings:
    configuration = {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "upstreams": {"shop": {"services": ["*"], "targets": ["a:1"], "tls": {}}},
        "observability": {"tracing": {"otlp": otlp}},
    }
    return parse(json.dumps(configuration), Path.cwd())


def test_without_an_address_there_is_no_tracer_and_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "NEEDED", ("no_such_package.at_all",))
    assert tracing.tracer(settings(None)) is None
    assert list(tracing.tracing_problems(settings(None))) == []


@pytest.mark.parametrize("missing", ["no_such_package", "no_such_package.at_all", "opentelemetry.no_such_part"])
def test_missing_libraries_are_a_problem_that_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check.run(settings(URL), offline=True) == []
    monkeypatch.setattr(tracing, "NEEDED", ("json", missing))
    (problem,) = check.run(settings(URL), offline=True)
    assert problem.key == "observability.tracing.otlp"
    assert problem.hint == to_install("tracing")


def test_a_gateway_without_tracing_imports_none_of_its_libraries() -> None:
    # The client of Redis imports a part of the SDK, where it finds that.
    names = "[name for name in sys.modules if name.startswith(('opentelemetry.exporter', 'opentelemetry.sdk.trace'))]"
    code = f"import sys, gateway.app, gateway.cli; print({names})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
