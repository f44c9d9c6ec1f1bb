"""The command line, as a process: what it prints, where, and its exit code."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway import check, cli, run
from gateway.errors import StartError
from gateway.settings import Problem, Settings, SettingsError, load
from gateway.settings.loader import EXAMPLE_HINT
from tests.support.certificates import authority, leaf, write_pair

COMMAND = Path(sys.executable).with_name("grpcweb-gateway")
EXAMPLE = Path(__file__).parents[2] / "gateway.example.yaml"
SECRET = "INTROSPECTION_SECRET"
GOOD = """\
listeners: [{bind: '127.0.0.1:0'}]
admin: null
upstreams: {shop: {services: [shop.v1.Orders], targets: ['127.0.0.1:1'], tls: {}}}
"""


class Answer:
    """What one run of the command said."""

    def __init__(self, *arguments: str | Path, cwd: Path, **environ: str) -> None:
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environ}
        done = subprocess.run(
            [COMMAND, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        self.code = done.returncode
        self.out = done.stdout
        self.errors = done.stderr.splitlines()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)
    return file


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


# -- usage -----------------------------------------------------------------------------------------------------------


def test_help_names_every_command(tmp_path: Path) -> None:
    answer = Answer("--help", cwd=tmp_path)
    assert answer.code == 0
    assert answer.errors == []
    commands = answer.out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == ["serve", "check", "demo", "dev", "envoy", "schema"]


def test_help_is_quick_because_it_imports_little() -> None:
    code = "import sys; from gateway.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = {
        name
        for name in ("pydantic", "yaml", "ruamel.yaml", "aiohttp", "grpc", "asyncio", "gateway.app")
        if f"'{name}'" in done.stderr
    }
    assert loaded == set()


def test_version(tmp_path: Path) -> None:
    answer = Answer("--version", cwd=tmp_path)
    assert answer.code == 0
    assert answer.out.startswith("grpcweb-gateway ")


def test_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "nonsense"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "grpcweb-gateway: No such command 'nonsense'. (hint: grpcweb-gateway --help)\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["serve", "--prot", "1"], "No such option '--prot'."),
        (["serve", "--workers", "0"], "Invalid value for '--workers': 0 is not in the range 1<=x<=256."),
        (["serve"], "no configuration: name one with -c FILE, there is no ./gateway.yaml"),
        (["demo", "--http-port", "65536"], "Invalid value for '--http-port': 65536 is not in the range 0<=x<=65535."),
        (["demo", "--http-port", "http"], "Invalid value for '--http-port': 'http' is not a valid integer range."),
        (["demo", "--envoy-port", "x"], "Invalid value for '--envoy-port': 'x' is not a valid integer range."),
        (["envoy"], "no configuration: name one with -c FILE, there is no ./gateway.yaml"),
        (["envoy", "-c", "x.yaml", "-o", "."], "Invalid value for '-o' / '--output': File '.' is a directory."),
        (
            ["envoy", "-c", "x.yaml", "--base", "/etc/envoy", "--validate"],
            "--validate looks for files where Envoy will: leave out --base",
        ),
        (["dev"], "Missing argument 'HOST:PORT'."),
        (["dev", "localhost:70000"], "Invalid value for 'HOST:PORT': port '70000' is not a number from 1 to 65535"),
        (["dev", "http://a:b"], "Invalid value for 'HOST:PORT': must be HOST:PORT or [V6]:PORT, not a URL"),
        (
            ["dev", "a:1", "--server-name", "https://b"],
            "Invalid value for '--server-name': must be a host name, without scheme or port",
        ),
        (["dev", "a:1", "--plaintext", "--server-name", "b"], "--server-name needs TLS: remove --plaintext"),
        (["dev", "a:1", "--cert", __file__], "--cert and --key go together"),
        (["dev", "a:1", "--ca", "none.pem"], "Invalid value for '--ca': File 'none.pem' does not exist."),
        (
            ["dev", "a:1", "--host", "0.0.0.0"],
            "0.0.0.0 is open to other machines, and dev asks nobody for a token: it listens on this one only; "
            '"serve" with a gateway.yaml is for others',
        ),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], error: str) -> None:
    answer = Answer(*arguments, cwd=tmp_path)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.errors == [f"grpcweb-gateway: {error} (hint: grpcweb-gateway {arguments[0]} --help)"]


PLAINTEXT = ", with --tls if the backend wants TLS"


@pytest.mark.parametrize(
    ("target", "scheme", "command"),
    [
        ("localhost", "", "localhost:50051" + PLAINTEXT),
        ("50051", "", "localhost:50051" + PLAINTEXT),
        (":50051", "", "localhost:50051" + PLAINTEXT),
        ("localhost:50051/", "", "localhost:50051" + PLAINTEXT),
        ("::1", "", "[::1]:50051" + PLAINTEXT),
        ("::1:9090", "", "[::1]:9090" + PLAINTEXT),
        ("http://localhost:50051", "http", "localhost:50051" + PLAINTEXT),
        ("http://user:hunter2@localhost:9090/x?y#z", "http", "localhost:9090" + PLAINTEXT),
        ("http://localhost", "http", "localhost:50051" + PLAINTEXT),
        ("grpc://[::1]:9090", "grpc", "[::1]:9090" + PLAINTEXT),
        ("dns:///shop.internal:50051", "dns", "shop.internal:50051" + PLAINTEXT),
        ("https://localhost:50051", "https", "localhost:50051 --tls"),
        ("HTTPS://shop.example.com/api", "https", "shop.example.com:443 --tls"),
        ("grpcs://shop.example.com:50051", "grpcs", "shop.example.com:50051 --tls"),
    ],
)
def test_whoever_writes_a_target_otherwise_is_shown_the_command(
    target: str, scheme: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["dev", target]) == 2
    instead = f", not {scheme}://" if scheme else ""
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"grpcweb-gateway: HOST:PORT is expected{instead} (hint: grpcweb-gateway dev {command})"
    ran = []
    monkeypatch.setattr(run, "dev", lambda *given, **_options: ran.append(given))
    assert cli.main(["dev", *command.removesuffix(PLAINTEXT).split()]) == 0
    assert len(ran) == 1


def test_a_target_that_only_a_configuration_can_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dev", "unix:/run/shop.sock"]) == 2
    assert capsys.readouterr().err == (
        'grpcweb-gateway: dev takes HOST:PORT only (hint: "serve" with a gateway.yaml takes unix: and xds: targets)\n'
    )


@pytest.mark.parametrize("command", ["check", "serve", "envoy"])
@pytest.mark.parametrize("option", [[], ["-c", "x.yaml"]])
def test_a_configuration_without_its_option(
    command: str, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, *option, "my files/y.yaml"]) == 2
    assert capsys.readouterr().err == (
        "grpcweb-gateway: unexpected my files/y.yaml: a configuration is named with -c "
        f"(hint: grpcweb-gateway {command} -c 'my files/y.yaml')\n"
    )


@pytest.mark.parametrize(("option", "key"), [("--ca", "ca"), ("--cert", "certificate"), ("--key", "private_key")])
def test_dev_tells_of_its_options_where_a_file_has_keys(
    option: str, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_given: object, **_options: object) -> None:
        raise SettingsError([Problem(f"upstreams.dev.tls.{key}", None, "expired")])

    monkeypatch.setattr(run, "dev", refused)
    assert cli.main(["dev", "a:1"]) == 1
    assert capsys.readouterr().err == f"grpcweb-gateway: {option}: expired\n"


@pytest.mark.parametrize(
    ("command", "key", "option"),
    [
        (["dev", "a:1"], "listeners[0].bind", "--port"),
        (["demo"], "listeners[0].bind", "--http-port"),
        (["demo"], "listeners[1].bind", "--https-port"),
        (["demo"], "admin.bind", "admin.bind"),
    ],
)
def test_an_address_in_use_is_told_of_its_option(
    command: list[str], key: str, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_given: object, **_options: object) -> None:
        raise StartError(f"{key}: cannot listen on 127.0.0.1:1: it is in use by another process")

    monkeypatch.setattr(run, command[0], refused)
    assert cli.main(command) == 3
    assert capsys.readouterr().err == (
        f"grpcweb-gateway: {option}: cannot listen on 127.0.0.1:1: it is in use by another process\n"
    )


def test_an_option_without_its_value(tmp_path: Path) -> None:
    answer = Answer("check", "-c", cwd=tmp_path)
    assert answer.code == 2
    assert answer.errors == ["grpcweb-gateway: Option '-c' requires an argument. (hint: grpcweb-gateway --help)"]


def test_no_command(tmp_path: Path) -> None:
    answer = Answer(cwd=tmp_path)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.errors[0] == "Usage: grpcweb-gateway [OPTIONS] COMMAND [ARGS]..."


# -- schema ----------------------------------------------------------------------------------------------------------


def test_schema(tmp_path: Path) -> None:
    answer = Answer("schema", cwd=tmp_path)
    assert answer.code == 0
    assert answer.errors == []
    assert set(json.loads(answer.out)["properties"]) == set(Settings.model_fields)


# -- check -----------------------------------------------------------------------------------------------------------


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


# -- how a run ends --------------------------------------------------------------------------------------------------


def ending(
    error: BaseException | None, good: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, list[Settings]]:
    served = []

    def serve(_path: Path, settings: Settings, *, debug: bool = False) -> None:
        served.append(settings)
        if error is not None:
            raise error

    monkeypatch.setattr(run, "serve", serve)
    return cli.main(["serve", "-c", str(good), *arguments]), served


def test_serve_hands_over_the_settings(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending(None, good, monkeypatch, "--workers", "1") == (0, [load(good)])


@pytest.mark.parametrize(
    ("error", "code_and_line"),
    [
        (StartError("listeners[0].bind: in use"), (3, "grpcweb-gateway: listeners[0].bind: in use\n")),
        (SettingsError([Problem("drain", 3, "is bad", None, "x.yaml")]), (1, "x.yaml:3: drain: is bad\n")),
        (KeyboardInterrupt(), (130, "")),
        (
            RuntimeError("token=hunter2"),
            (3, "grpcweb-gateway: internal error: RuntimeError (hint: --debug shows where)\n"),
        ),
    ],
)
def test_every_ending_is_a_line_and_a_code(
    error: BaseException,
    code_and_line: tuple[int, str],
    good: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _ = ending(error, good, monkeypatch)
    out, line = capsys.readouterr()
    assert (code, line) == code_and_line
    assert out == ""


@pytest.mark.parametrize("error", [StartError("in use"), RuntimeError("broken")])
def test_debug_shows_where(
    error: Exception, good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(error, good, monkeypatch, "--debug")[0] == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_demo_and_dev_hand_over_their_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
    for name in ("demo", "dev"):
        monkeypatch.setattr(run, name, lambda *given, **options: calls.append((given, options)))
    pem = tmp_path / "x.pem"
    pem.touch()
    assert cli.main(["demo", "--http-port", "0", "--issuer-port", "1"]) == 0
    assert cli.main(["demo", "--envoy", "--envoy-port", "0"]) == 0
    assert cli.main(["dev", "localhost:50051"]) == 0
    assert cli.main(["dev", "localhost:50051", "--tls", "--port", "0", "--debug"]) == 0
    assert (
        cli.main(["dev", "[::1]:1", "--ca", str(pem), "--cert", str(pem), "--key", str(pem), "--server-name", "a"]) == 0
    )
    nothing = {"ca": None, "certificate": None, "private_key": None, "server_name": None}
    everything = {"ca": pem, "certificate": pem, "private_key": pem, "server_name": "a"}
    assert calls == [
        ((0, 8443, 1), {"envoy_port": None, "debug": False}),
        ((8080, 8443, 8081), {"envoy_port": 0, "debug": False}),
        (("localhost:50051", 8080), {"plaintext": True, "debug": False, **nothing}),
        (("localhost:50051", 0), {"plaintext": False, "debug": True, **nothing}),
        (("[::1]:1", 8080), {"plaintext": False, "debug": False, **everything}),
    ]


def test_ctrl_c_ends_a_run_quietly(good: Path) -> None:
    with subprocess.Popen(
        [COMMAND, "serve", "-c", good], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert any(json.loads(line)["event"] == "ready" for line in process.stdout)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert errors == ""
    assert "Traceback" not in out


def test_an_address_in_use(good: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        good.write_text(GOOD.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        answer = Answer("serve", cwd=good.parent)
    assert answer.code == 3
    assert answer.errors == [
        f"grpcweb-gateway: listeners[0].bind: cannot listen on 127.0.0.1:{port}: it is in use by another process"
    ]
