"""The files of envoy/ as they are committed, read."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "envoy"
README = (FOLDER / "README.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()

GATEWAY: dict[str, Any] = yaml.safe_load((FOLDER / "gateway.yaml").read_text())
ENVOY: dict[str, Any] = yaml.safe_load((FOLDER / "envoy.yaml").read_text())
SECRETS: dict[str, Any] = {path.name: yaml.safe_load(path.read_text()) for path in (FOLDER / "envoy-secrets").iterdir()}
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))


def the(kind: str) -> dict[str, Any]:
    """The one Kubernetes object of that kind."""
    (found,) = [each for each in OBJECTS if each["kind"] == kind]
    return found


POD: dict[str, Any] = the("Deployment")["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]


def texts(node: object) -> Iterator[str]:
    """Every key and value that is a text."""
    if isinstance(node, Mapping):
        node = [*node.keys(), *node.values()]
    if isinstance(node, list):
        for each in node:
            yield from texts(each)
    elif isinstance(node, str):
        yield node
