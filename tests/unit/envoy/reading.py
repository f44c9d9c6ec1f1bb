"""Renders small configurations, and finds the parts of what comes of them."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gateway.envoy import Files, Rendering, render
from gateway.envoy.gaps import differences, obstacles
from gateway.settings import Settings, parse

Node = dict[str, Any]

BASE = Path("/etc")
FILES = {"certificate": "/dev/null", "private_key": "/dev/null"}
LEAST: Node = {
    "listeners": [{"bind": "127.0.0.1:8080"}],
    "upstreams": {
        "shop": {"services": ["shop.v1.Orders"], "targets": ["shop.internal:50051"], "tls": {"ca": "/dev/null"}}
    },
}
ISSUER: Node = {"issuer": "https://login.example.com/", "audiences": ["api"], "jwks": "/dev/null"}
MUTUAL: Node = {"bind": "127.0.0.1:8443", "tls": {**FILES, "client_ca": "/dev/null", "client_auth": "optional"}}


def settings(base: Path = BASE, **sections: Any) -> Settings:
    """The least that there may be, with these sections."""
    return parse(json.dumps(LEAST | sections, indent=1), base, {"SECRET": "hunter2"})


def rendering(files: Files | None = None, uris: Mapping[str, str] | None = None, **sections: Any) -> Rendering:
    return render(settings(**sections), files, uris)


def rendered(**sections: Any) -> Node:
    """As a YAML reader has it; not to be changed."""
    return _rendered(json.dumps(sections), os.environ.get("SSL_CERT_FILE"))


@cache
def _rendered(sections: str, _authorities: str | None) -> Node:
    return read(rendering(**json.loads(sections)).text)


def read(text: str) -> Node:
    node: Node = yaml.load(text, Loader=yaml.CSafeLoader)  # the same, and ten times as fast
    return node


def told(**sections: Any) -> dict[str, str]:
    """What Envoy does otherwise: key -> message. As `render` asks for it, without the text, which takes its time."""
    return {each.key: each.message for each in differences(settings(**sections), Files.in_place())}


def refused(**sections: Any) -> list[str]:
    """What Envoy has nothing for, each as its line; none if it has all."""
    return [str(problem) for problem in obstacles(settings(**sections), {})]


def listener(config: Node, index: int = 0) -> Node:
    found: Node = config["static_resources"]["listeners"][index]
    return found


def manager(config: Node, index: int = 0) -> Node:
    """The HTTP connection manager of a listener."""
    found: Node = listener(config, index)["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def http_filter(config: Node, name: str) -> Node | None:
    """By the last part of its name."""
    filters = manager(config)["http_filters"]
    return next((each["typed_config"] for each in filters if each["name"].endswith(f".{name}")), None)


def virtual_host(config: Node) -> Node:
    [host] = manager(config)["route_config"]["virtual_hosts"]
    found: Node = host
    return found


def cluster(config: Node, name: str = "shop") -> Node:
    [found] = [each for each in config["static_resources"]["clusters"] if each["name"] == name]
    node: Node = found
    return node


def context(part: Node) -> Node:
    """The TLS context of a cluster or of a filter chain."""
    found: Node = part["transport_socket"]["typed_config"]
    return found


def leaves(node: Any) -> list[Any]:
    """Every value that is neither a mapping nor a list."""
    if isinstance(node, dict):
        return [leaf for value in node.values() for leaf in leaves(value)]
    if isinstance(node, list):
        return [leaf for value in node for leaf in leaves(value)]
    return [node]
