"""Reads small configurations, and says what was wrong with them."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from gateway.settings import Settings, SettingsError, parse

LISTENERS = "listeners: [{bind: '127.0.0.1:8080'}]\n"
UPSTREAMS = "upstreams: {shop: {services: [shop.v1.Orders], targets: ['shop:50051'], tls: {}}}\n"
ISSUER = "auth: {issuers: [{issuer: 'https://login.example.com/', audiences: [api]}]}\n"


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
