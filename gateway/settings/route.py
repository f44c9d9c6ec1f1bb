"""Which entry of `services` a service goes by: itself, then the longest `pkg.*`, then `*`."""

from collections.abc import Mapping

HEALTH_SERVICE = "grpc.health.v1.Health"  # belongs to no package of the user's; every upstream may have it


def route(service: str, services: Mapping[str, str]) -> str | None:
    """The upstream of the most particular entry; None: no entry is for it. `services`: entry -> upstream."""
    patterns = [service]
    package = service
    while "." in package:
        package = package.rpartition(".")[0]
        patterns.append(f"{package}.*")
    return next((services[pattern] for pattern in (*patterns, "*") if pattern in services), None)
