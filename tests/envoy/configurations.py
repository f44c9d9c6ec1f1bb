"""The configurations that cases are played under. Each is the common gateway.yaml (stage.py), changed."""

from collections.abc import Callable
from typing import Any

from gateway.envoy.routes import GRPC_WEB_TYPE

Document = dict[str, Any]

ORIGIN = "http://page.test"
PREVIEW = "https://*.preview.test"
RULES = [
    {"methods": ["/test.v1.Script/*"], "roles": ["orders.read"]},
    {"methods": ["/test.v1.Script/Closed"], "roles": ["admin"]},
    {"methods": ["/test.v1.Script/Either"], "roles": ["admin", "orders.read"]},
    {"methods": ["/test.v1.Wild/*"], "roles": ["admin"]},
    {"methods": ["/test.v1.Wild/Echo"], "roles": ["orders.read"]},
    {"methods": ["/grpc.health.v1.Health/Watch"], "roles": ["admin"]},
]
RULED = {"test.v1.Script", "test.v1.Wild", "grpc.health.v1.Health", "test.v1.Unruled"}


def usual(document: Document) -> None:
    """Denied by default; exact origins and one pattern; the token goes on to the backend."""
    document["cors"] = {
        "allow_origins": [ORIGIN, "https://app.test:8443", PREVIEW],
        "allow_headers": ["x-mine"],
        "expose_headers": ["x-shown"],
    }
    document["auth"] |= {
        "public_methods": ["/grpc.health.v1.Health/Check", "/test.v1.Script/Public"],
        "forward_claims": {"x-user-id": "sub"},
    }
    others = {service for upstream in document["upstreams"].values() for service in upstream["services"]} - RULED
    methods = [f"/{service}/*" for service in sorted(others)]
    document["authorization"] = {"rules": [*RULES, {"methods": methods, "roles": ["orders.read"]}]}
    document["limits"] = {"max_request_message": "64KiB", "max_response_message": "256KiB"}


def credentials(document: Document) -> None:
    """Pages may send cookies; an Origin is required; every token will do, and stays here; deadlines are set."""
    document["cors"] = {"allow_origins": [ORIGIN], "allow_credentials": True, "require_origin": True}
    document["auth"] |= {"forward_authorization": False}
    document["authorization"] = {"default": "authenticated", "rules": [RULES[1]]}
    document["limits"] = {"default_deadline": "20s", "max_deadline": "1m"}


def anywhere(document: Document) -> None:
    """Any origin may call, without credentials."""
    document["cors"] = {"allow_origins": ["*"]}
    document["authorization"] = {"default": "authenticated"}


def native(document: Document) -> None:
    """As usual. What is rendered for Envoy refuses native gRPC; here it is widened (`WIDENED`), to see the rest."""
    usual(document)


WIDENED = {"native": (GRPC_WEB_TYPE, rf"{GRPC_WEB_TYPE}|application/grpc(?:\+[a-z]+)?")}  # in Envoy's configuration
CONFIGURATIONS: dict[str, Callable[[Document], None]] = {
    "usual": usual,
    "credentials": credentials,
    "anywhere": anywhere,
    "native": native,
}
