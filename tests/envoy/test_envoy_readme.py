"""envoy/README.md: its commands are run or known not to be, its links lead somewhere, each warning is explained."""

import re

from tests.envoy.manifests import FOLDER, README, ROOT

RENDERED = "tests/envoy/test_deployment.py renders, by the command, too"
CALLED = "tests/envoy/test_deployed.py"
ENGINE = "there is no container engine"
COMMANDS = {  # and what runs them, or why nothing does
    "make envoy": RENDERED,
    "grpcweb-gateway envoy -c gateway.yaml -o envoy.yaml --base /etc/envoy": RENDERED,
    "docker compose -f envoy/docker-compose.yaml --profile envoy up --build --wait": ENGINE,
    "docker compose -f envoy/docker-compose.yaml --profile envoy down --volumes": ENGINE,
    "docker compose -f envoy/docker-compose.yaml cp backend:/world/tls/ca.pem ca.pem": ENGINE,
    "TOKEN=": CALLED,
    "printf ": CALLED,
    ".venv/bin/python -m gateway.demo --folder world": CALLED,
    "kubectl create configmap grpc-web-issuer --from-file=jwks.json": "there is no cluster",
    "kubectl apply -k envoy": "there is no cluster",
}


def test_every_command_is_run_or_known_not_to_be() -> None:
    told = re.findall(r"^\$ (.*)$", README, re.MULTILINE)
    assert [command for command in told if not command.startswith(tuple(COMMANDS))] == []
    assert [known for known in COMMANDS if not any(command.startswith(known) for command in told)] == []


def test_its_links_and_files_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    names = re.findall(r"`(tests/[\w/]+\.py)`", README)
    assert links
    assert names
    assert [link for link in links if not (FOLDER / link).exists()] == []
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_warning_is_explained() -> None:
    heading = (FOLDER / "envoy.yaml").read_text().partition("\nnode:")[0]
    keys = re.findall(r"^# - (\S+): ", heading, re.MULTILINE)
    warned = {key.replace("[0]", "[]").replace(".demo.", ".*.") for key in keys}
    section = README.partition("### What the warnings mean")[2].partition("\n## ")[0]
    explained: set[str] = set()
    for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        explained |= {first, *(key if "." in key else f"{first.rpartition('.')[0]}.{key}" for key in others)}
    assert warned == explained
