"""`grpcweb-gateway envoy`: what it writes where, and how it ends. Its usage stands in tests/unit/cli/."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway import cli
from gateway.envoy import validate as asked
from gateway.envoy.validate import EnvoyMissingError
from tests.unit.envoy.reading import FILES, ISSUER, LEAST, Node, read

COMMAND = Path(sys.executable).with_name("grpcweb-gateway")
EXAMPLE = Path(__file__).parents[3] / "gateway.example.yaml"
NAMED = ("tls/server.pem", "tls/server.key", "tls/ca.pem", "tls/client.pem", "tls/client.key")
TOKENS = {"auth": {"issuers": [{**ISSUER, "issuer": "http://127.0.0.1:1", "jwks": "discover"}]}}


@pytest.fixture
def gateway_yaml(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps(LEAST))
    return file


def changed(file: Path, **sections: Any) -> str:
    file.write_text(json.dumps(LEAST | sections))
    return str(file)


@pytest.fixture
def envoy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script in Envoy's place."""

    def put(script: str) -> Path:
        path = tmp_path / "envoy"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(asked, "find_envoy", lambda: path)
        return path

    return put


def test_as_a_process_the_result_alone_is_on_stdout(gateway_yaml: Path) -> None:
    done = subprocess.run(
        [COMMAND, "envoy", "-c", gateway_yaml], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("# Made by grpcweb-gateway;")
    assert set(read(done.stdout)) == {"node", "admin", "overload_manager", "static_resources"}
    differences = done.stderr.splitlines()
    assert differences
    assert all(line.startswith(f"{gateway_yaml}:1: ") or line.startswith(f"{gateway_yaml}: ") for line in differences)


def test_what_is_told_stands_in_the_result_too(gateway_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["envoy", "-c", str(gateway_yaml)]) == 0
    out, err = capsys.readouterr()
    flat = " ".join(line.removeprefix("#").strip() for line in out.splitlines())
    for line in err.splitlines():
        told = line.partition(": ")[2].partition(" (hint")[0]
        assert f"- {told}" in flat


def test_with_o_files_are_written_and_named(gateway_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed(gateway_yaml, listeners=[{"bind": "127.0.0.1:1", "tls": FILES}])
    output = gateway_yaml.with_name("envoy.yaml")
    assert cli.main(["envoy", "-c", str(gateway_yaml), "-o", str(output)]) == 0
    out, err = capsys.readouterr()
    named = [Path(line) for line in out.splitlines()]
    assert named[0] == output
    assert {path.parent for path in named[1:]} == {gateway_yaml.with_name("envoy-secrets")}
    assert len(named) == 3
    assert all(path.is_file() for path in named)
    assert read(output.read_text())["static_resources"]
    assert "moved into place" in err


def test_base_is_where_envoy_will_find_the_folder(gateway_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (gateway_yaml.parent / "ca.pem").touch()
    changed(gateway_yaml, upstreams={"shop": LEAST["upstreams"]["shop"] | {"tls": {"ca": "ca.pem"}}})
    assert cli.main(["envoy", "-c", str(gateway_yaml), "--base", "/etc/envoy"]) == 0
    out, _ = capsys.readouterr()
    assert "/etc/envoy/ca.pem" in out
    assert str(gateway_yaml.parent) not in out


def test_strict_refuses_and_writes_nothing(gateway_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = gateway_yaml.with_name("envoy.yaml")
    for arguments in ([], ["-o", str(output)]):
        assert cli.main(["envoy", "-c", str(gateway_yaml), "--strict", *arguments]) == 1
        out, err = capsys.readouterr()
        *told, last = err.splitlines()
        assert out == ""
        assert last == f"{gateway_yaml}: {len(told)} keys that Envoy takes otherwise (--strict)"
    assert not output.exists()


def test_offline_asks_no_issuer(gateway_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = changed(gateway_yaml, **TOKENS)
    for arguments, words in (([], "discovery failed: no answer"), (["--offline"], "Envoy cannot discover key sets")):
        assert cli.main(["envoy", "-c", config, *arguments]) == 1
        out, err = capsys.readouterr()
        [line] = err.splitlines()
        assert out == ""
        assert line.startswith(f"{config}:1: auth.issuers[0].jwks: {words}")
        assert " (hint: " in line


def test_what_envoy_has_nothing_for_is_told_key_by_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(EXAMPLE, tmp_path / "gateway.yaml")
    for name in (*NAMED, "protos/shop.binpb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    descriptors = FileDescriptorSet()
    file = descriptors.file.add(name="shop.proto", package="shop.v1")
    for name in ("Orders", "Catalog"):
        file.service.add(name=name).method.add(name="GetOrder", input_type=".shop.v1.A", output_type=".shop.v1.A")
    (tmp_path / "protos" / "shop.binpb").write_bytes(descriptors.SerializeToString())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTROSPECTION_SECRET", "hunter2")
        assert cli.main(["envoy", "-c", str(tmp_path / "gateway.yaml"), "--offline"]) == 1
    out, err = capsys.readouterr()
    lines = EXAMPLE.read_text().splitlines()
    assert out == ""
    assert "hunter2" not in err
    keys = ("auth.issuers[0].jwks", "auth.introspection", "limits.rate")
    for line, key in zip(err.splitlines(), keys, strict=True):
        place, _, rest = line.removeprefix(f"{tmp_path}/gateway.yaml:").partition(": ")
        assert rest.startswith(f"{key}: ")
        assert key.rpartition(".")[2] in lines[int(place) - 1]
        assert rest.endswith(")")


def test_rules_are_judged_by_the_descriptors(gateway_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    descriptors = gateway_yaml.with_name("shop.binpb")
    made = FileDescriptorSet()
    service = made.file.add(name="shop.proto", package="shop.v1").service.add(name="Orders")
    service.method.add(name="Get", input_type=".shop.v1.A", output_type=".shop.v1.A")
    descriptors.write_bytes(made.SerializeToString())
    rules = [{"methods": ["/shop.v1.Order/*"], "roles": ["reader"]}]
    authorization: Node = {"rules": rules, "descriptors": "shop.binpb"}
    config = changed(gateway_yaml, auth={"issuers": [ISSUER]}, authorization=authorization)
    assert cli.main(["envoy", "-c", config]) == 1
    _, err = capsys.readouterr()
    assert "authorization.rules[0].methods[0]" in err
    rules[0]["methods"] = ["/shop.v1.Orders/*"]
    config = changed(gateway_yaml, auth={"issuers": [ISSUER]}, authorization=authorization)
    assert cli.main(["envoy", "-c", config]) == 0


def test_a_bad_configuration_has_its_usual_problems(gateway_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = changed(gateway_yaml, limts={}, drain=5)
    assert cli.main(["envoy", "-c", config]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"{config}:1: drain: needs a unit, like 5s",
        f"{config}:1: limts: unknown key (hint: did you mean limits?)",
    ]


def test_what_this_gateway_does_not_support_yet_is_rendered(gateway_yaml: Path) -> None:
    listeners = [{"bind": "127.0.0.1:1", "http2": True}]
    config = changed(gateway_yaml, listeners=listeners, workers=2)
    assert cli.main(["envoy", "-c", config]) == 0
    assert cli.main(["check", "-c", config, "--offline"]) == 1


@pytest.mark.parametrize("name", ["file/envoy.yaml", "/proc/envoy.yaml"])
def test_what_cannot_be_written(name: str, gateway_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gateway_yaml.with_name("file").touch()
    output = gateway_yaml.parent / name
    assert cli.main(["envoy", "-c", str(gateway_yaml), "-o", str(output)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("grpcweb-gateway: Could not open file '")
    assert "Traceback" not in err


# -- --validate --------------------------------------------------------------------------------------------------------


def test_validate_asks_envoy_about_what_was_made(
    gateway_yaml: Path, envoy: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    program = envoy('for last; do :; done; cp "$last" "$0.seen"')
    seen = program.with_name("envoy.seen")
    output = gateway_yaml.with_name("envoy.yaml")
    for arguments in ([], ["-o", str(output)]):
        assert cli.main(["envoy", "-c", str(gateway_yaml), "--validate", *arguments]) == 0
        out, err = capsys.readouterr()
        assert err.splitlines()[-1] == "Envoy takes it."
        assert seen.read_text() == (output.read_text() if arguments else out)


def test_what_envoy_refuses(
    gateway_yaml: Path, envoy: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    envoy("echo '[critical] no such field' >&2; exit 1")
    assert cli.main(["envoy", "-c", str(gateway_yaml), "--validate"]) == 1
    _, err = capsys.readouterr()
    assert err.splitlines()[-1] == "grpcweb-gateway: Envoy refuses it: [critical] no such field"


def test_no_envoy_to_ask(
    gateway_yaml: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find() -> Path:
        raise EnvoyMissingError("no Envoy to ask")

    monkeypatch.setattr(asked, "find_envoy", find)
    assert cli.main(["envoy", "-c", str(gateway_yaml), "--validate"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("# Made by")
    assert err.splitlines()[-1] == "grpcweb-gateway: no Envoy to ask"
