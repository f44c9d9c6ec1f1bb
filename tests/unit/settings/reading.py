"""Reads small configurations, and says what was wrong with them."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from gateway.settings import Settings, SettingsError, parse

LISTENERS = "listeners: [{bind: '127.0.0.1:8080'}]\n"
UPSTREAMS = "upstreams: {shop: {services: [shop.v1.Orders], targets: ['shop:50051'], tls: {}}}\n"
ISSUER = "auth: {issuers: [{issuer: 'https://login.example.com/', audiences: [api]}]}\n"
ROLE_RULE = "authorization: {rules: [{methods: [/shop.v1.Orders/*], roles: [r]}]}\n"
IDENTITY_RULE = "authorization: {rules: [{methods: [/shop.v1.Orders/*], identities: ['CN:x']}]}\n"
FILES = {"certificate": "/dev/null", "private_key": "/dev/null"}


def read(
    rest: str = "",
    *,
    listeners: str = LISTENERS,
    upstreams: str = UPSTREAMS,
    base: Path = Path("/etc"),
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    return parse(listeners + upstreams + rest, base, environ)


def told(
    rest: str = "",
    *,
    listeners: str = LISTENERS,
    upstreams: str = UPSTREAMS,
    base: Path = Path("/etc"),
    environ: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """The problems, each as its line; none if the configuration is fine."""
    try:
        parse(listeners + upstreams + rest, base, environ)
    except SettingsError as error:
        return [str(problem) for problem in error.problems]
    return []


def listeners(*listeners: Mapping[str, object]) -> str:
    """The section."""
    return "listeners: " + json.dumps(list(listeners)) + "\n"


def upstreams(**upstreams: Mapping[str, object]) -> str:
    """The section: each has a service and a target of its own, if none are given."""
    whole = {name: {"services": [f"{name}.S"], "targets": ["a:1"], **upstream} for name, upstream in upstreams.items()}
    return "upstreams: " + json.dumps(whole) + "\n"
