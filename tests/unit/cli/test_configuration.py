"""`check` and `schema`, and what they have in common with whatever else reads a configuration."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway import check, cli
from gateway.settings import Problem, Settings
from gateway.settings.loader import EXAMPLE_HINT
from tests.support.certificates import authority, leaf, write_pair
from tests.unit.cli.command import COMMAND, GOOD, Answer

EXAMPLE = Path(__file__).parents[3] / "gateway.example.yaml"
SECRET = "INTROSPECTION_SECRET"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example beside certificates and descriptors that fit it."""
    shutil.copy(EXAMPLE, tmp_path / "gateway.yaml")
    (tmp_path / "tls").mkdir()
    (tmp_path / "protos").mkdir()
    signer = authority()
    write_pair(tmp_path / "tls", *leaf(signer, "app.example.com"), stem="server")
    write_pair(tmp_path / "tls", *leaf(signer, "gateway.internal"), stem="client")
    (tmp_path / "tls" / "ca.pem").write_bytes(signer.pem)
    descriptors = FileDescriptorSet()
    file = descriptors.file.add(name="shop.proto", package="shop.v1")
    for name in ("Orders", "Catalog"):
        file.service.add(name=name).method.add(name="GetOrder", input_type=".shop.v1.A", output_type=".shop.v1.A")
    (tmp_path / "protos" / "shop.binpb").write_bytes(descriptors.SerializeToString())
    return tmp_path / "gateway.yaml"


def test_schema(tmp_path: Path) -> None:
    answer = Answer("schema", cwd=tmp_path)
    assert answer.code == 0
    assert answer.errors == []
    assert set(json.loads(answer.out)["properties"]) == set(Settings.model_fields)


def test_the_example_is_fine(example: Path) -> None:
    answer = Answer("check", "-c", "gateway.yaml", "--offline", cwd=example.parent, **{SECRET: "hunter2"})
    assert answer.errors == []
    assert answer.out == "gateway.yaml: fine\n"
    assert answer.code == 0


def test_everything_that_is_wrong_is_told_at_once_with_what_the_files_hold(example: Path) -> None:
    text = example.read_text()
    example.write_text(text.replace("max_age: 10m", "max_agee: 10m").replace("audiences: [grpc-api]", "audiences: []"))
    (example.parent / "tls" / "server.key").write_bytes((example.parent / "tls" / "client.key").read_bytes())
    (example.parent / "tls" / "ca.pem").unlink()
    answer = Answer("check", "--offline", cwd=example.parent)
    assert answer.code == 1
    assert answer.out == ""
    tls = example.parent / "tls"

    def at(key: str) -> str:
        number = next(number for number, line in enumerate(example.read_text().splitlines(), 1) if key in line)
        return f"gateway.yaml:{number}: "

    assert [line.partition(" (hint")[0] for line in answer.errors] == [
        at("server.key") + f"listeners[0].tls.private_key: {tls / 'server.key'} is not the key of {tls / 'server.pem'}",
        at("max_agee") + "cors.max_agee: unknown key",
        at("audiences") + "auth.issuers[0].audiences: must not be empty",
        at("client_secret") + f"auth.introspection.client_secret: the environment variable {SECRET} is not set",
        at("ca: tls") + "upstreams.shop.tls.ca: no such file: tls/ca.pem",
        "gateway.yaml: 5 problems",
    ]


def test_nothing_is_said_of_what_stands_for_a_bad_value(example: Path) -> None:
    (example.parent / "tls" / "server.pem").unlink()
    answer = Answer("check", "--offline", cwd=example.parent, **{SECRET: "hunter2"})
    assert len(answer.errors) == 2
    assert "listeners[0].tls.certificate: no such file: tls/server.pem" in answer.errors[0]
    assert answer.errors[1] == "gateway.yaml: 1 problem"


def test_an_unknown_key(good: Path) -> None:
    good.write_text(GOOD + "limts: {}\n")
    answer = Answer("check", "--offline", cwd=good.parent)
    assert answer.code == 1
    assert answer.out == ""
    assert answer.errors == [
        "gateway.yaml:4: limts: unknown key (hint: did you mean limits?)",
        "gateway.yaml: 1 problem",
    ]


@pytest.mark.parametrize("command", ["check", "serve", "envoy"])
@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        (
            "x.yaml",
            None,
            f"grpcweb-gateway: no such file: x.yaml (hint: {EXAMPLE_HINT})",
        ),
        (".", None, "grpcweb-gateway: cannot read .: Is a directory (hint: name a file in it)"),
        ("/proc/self/mem", None, "grpcweb-gateway: cannot read /proc/self/mem: Input/output error"),
        (
            "x.yaml",
            "",
            "x.yaml: the file is empty (hint: start from gateway.example.yaml, or try grpcweb-gateway demo)",
        ),
        (
            "x.yaml",
            "listeners:\n\t- bind: a\n",
            "x.yaml:2: not valid YAML: found character '\\t' that cannot start any token "
            "(hint: indent with spaces, not tabs)",
        ),
        ("x.yaml", GOOD + "drain: 5\n", "x.yaml:4: drain: needs a unit, like 5s"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, command: str, name: str, content: str | None, error: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    answer = Answer(command, "-c", name, cwd=tmp_path)
    assert answer.code == 1
    assert answer.out == ""
    assert answer.errors == [error] + ([f"{name}: 1 problem"] if command == "check" else [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that takes nothing")
@pytest.mark.parametrize("command", [["check", "--offline"], ["envoy", "--offline"], ["schema"]])
def test_what_nobody_takes_is_one_line(good: Path, command: list[str]) -> None:
    arguments = [str(COMMAND), *command]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            arguments, cwd=good.parent, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "grpcweb-gateway: cannot write: No space left on device"


def test_the_environment_may_name_the_configuration(good: Path) -> None:
    answer = Answer("check", "--offline", cwd=Path("/"), GATEWAY_CONFIG=str(good))
    assert answer.out == f"{good}: fine\n"


def test_check_is_offline_only_if_asked(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def judge(_settings: Settings, *, offline: bool) -> list[Problem]:
        asked.append(offline)
        return []

    monkeypatch.setattr(check, "run", judge)
    assert cli.main(["check", "-c", str(good)]) == 0
    assert cli.main(["check", "-c", str(good), "--offline"]) == 0
    good.write_text(GOOD + "drain: 5\n")
    assert cli.main(["check", "-c", str(good)]) == 1
    assert asked == [False, True, True]  # nothing is dialled for a configuration that is bad anyway
