"""The Helm chart: rendered by Helm's own library, judged by Kubernetes' schemas, and its parts held against each other.

Rule: what is compared comes from two places (the rendered pod and the rendered configuration, the chart and the
Dockerfile), so that a change of one of them alone fails.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "grpcweb-gateway"
EXAMPLES = ("shop", "everything")

# Helm is a library of Go: it gets a process of its own, for its runtime and its signal handlers stay in one.
HELM = """
import json, sys
import helm_python as helm
asked = json.load(sys.stdin)
if asked["lint"]:
    print(json.dumps(helm.lint(asked["chart"], asked["values"], strict=True)))
else:
    with helm.Chart.load(asked["chart"]) as chart:
        try:
            print(json.dumps(chart.render(asked["values"], name="gw", namespace="edge")))
        except helm.HelmError as error:
            sys.exit(str(error))
"""

Object = dict[str, Any]


class ChartError(Exception):
    """What Helm says of values that it refuses."""


def helm(values: Mapping[str, Any], *, lint: bool = False) -> Any:
    asked = json.dumps({"chart": str(CHART), "values": values, "lint": lint})
    command = [sys.executable, "-c", HELM]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise ChartError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def values(example: str, **changes: Any) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{example}-values.yaml").read_text())
    return merged(read, changes)


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges values: maps key by key, all else replaced."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = merged(one[key], other[key])
    return both


def objects(given: Mapping[str, Any]) -> list[Object]:
    rendered = (text for name, text in helm(given).items() if name.endswith(".yaml"))
    return [one for text in rendered for one in yaml.safe_load_all(text) if one is not None]


@cache
def _example(name: str) -> list[Object]:
    return objects(values(name))


class Release:
    """What an example installs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects = _example(name)

    def all(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, suffix: str = "") -> Object:
        (found,) = (one for one in self.all(kind) if one["metadata"]["name"] == f"gw-grpcweb-gateway{suffix}")
        return found

    @property
    def pod(self) -> Object:
        """The pod that serves."""
        template: Object = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def container(self) -> Object:
        (container,) = self.pod["spec"]["containers"]
        return container  # type: ignore[no-any-return]

    @property
    def config(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load(self.one("ConfigMap")["data"]["gateway.yaml"])
        return read

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}


def port(bind: str) -> int:
    return int(bind.rpartition(":")[2])


def selects(selector: Mapping[str, str], one: Object) -> bool:
    labels: dict[str, str] = one["metadata"]["labels"]
    return selector.items() <= labels.items()
