"""Settings -> the bootstrap configuration of Envoy (API v3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.envoy.admin import admin, admin_cluster, operator_listener, overload_manager
from gateway.envoy.clusters import clusters
from gateway.envoy.files import Files
from gateway.envoy.gaps import differences, obstacles
from gateway.envoy.listeners import listeners
from gateway.envoy.node import Node, to_yaml
from gateway.envoy.tokens import Uris, jwks_clusters
from gateway.envoy.tracing import tracing_clusters
from gateway.settings import Problem, Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Rendering:
    """What Envoy runs with. `secrets`: further files, name -> text, for the folder of secrets. `warnings`: keys that
    mean something else to Envoy, or nothing."""

    text: str
    warnings: tuple[Problem, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)


def render(settings: Settings, files: Files | None = None, uris: Uris | None = None) -> Rendering:
    """`files`: where Envoy finds what gateway.yaml names; by default there, and each is read once. `uris`: the
    `jwks_uri` of each issuer with `jwks: discover`. Raises SettingsError with every key that Envoy has nothing for.
    """
    files, uris = files or Files.in_place(), uris or {}
    if problems := obstacles(settings, uris):
        raise SettingsError(problems)
    warnings = differences(settings, files)
    bootstrap: Node = {
        "node": {"id": "grpcweb-gateway", "cluster": "grpcweb-gateway"},
        **admin(settings),
        "overload_manager": overload_manager(settings),
        "static_resources": {
            "listeners": [*listeners(settings, files, uris), *operator_listener(settings)],
            "clusters": [
                *clusters(settings, files),
                *jwks_clusters(settings, uris),
                *tracing_clusters(settings),
                *admin_cluster(settings),
            ],
        },
    }
    return Rendering(to_yaml(bootstrap, _heading(settings, warnings)), tuple(warnings), files.secrets)


def _heading(settings: Settings, warnings: Sequence[Problem]) -> list[str]:
    level = settings.observability.log.level
    paragraphs = [
        "Made by grpcweb-gateway; each comment names the key of its configuration that a part comes from. Run it with",
        f"  envoy -c FILE --concurrency {settings.workers} --drain-time-s {int(settings.drain)} --log-level {level}",
        "(workers, drain, observability.log.level).",
    ]
    if warnings:
        paragraphs += ["", "Otherwise than in the gateway:"]
        paragraphs += [f"- {warning.key}: {warning.message}" for warning in warnings]
    return [*paragraphs, ""]
