"""The files of a run: certificates, key set, descriptors, gateway.yaml.

Rule: the configuration has what production has, and whatever could leak is switched on: CORS, tokens of a real issuer
over HTTP, roles, mutual TLS, health checks, outlier detection, retries, limits, access log. Two upstreams lead to the
same two backends: one over `h2`, one over `grpcio`.
"""

from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.demo.pki import Pki, write
from gateway.demo.world import DESCRIPTORS
from soak.backend import ALIAS, GATEWAY, NAME, SERVICE
from soak.issuer import AUDIENCE, Issuer

ORIGIN = "https://app.soak.test"
READER, ADMIN = "reader", "admin"
TRANSPORTS = {SERVICE: "h2", ALIAS: "grpcio"}  # by service
IDEMPOTENT = frozenset({"Echo", "WhoAmI"})


class World:
    """All of it, in `folder`."""

    def __init__(self, folder: Path, issuer: Issuer) -> None:
        self.folder = folder
        self.issuer = issuer
        # In folders of their own: the gateway looks at files again when anything beside them is written.
        certificates, own = folder / "tls", folder / "gateway"
        certificates.mkdir()
        own.mkdir()
        self.pki = Pki(certificates)
        self.descriptors = folder / "soak.binpb"
        self.descriptors.write_bytes(_descriptors().SerializeToString())
        self.path = own / "gateway.yaml"

    def renew_client_certificate(self) -> None:
        self.pki.issue("gateway", GATEWAY)

    def renew_listener_certificate(self) -> None:
        self.pki.issue("server", "localhost", "127.0.0.1", "::1")

    def configure(self, ports: list[int], **changes: Any) -> None:
        """Write gateway.yaml for backends on these ports; `changes` replace sections."""
        self.write(yaml.safe_dump({**self._settings(ports), **changes}, sort_keys=False))

    def write(self, text: str) -> None:
        write(self.path, text.encode(), 0o644)

    def _settings(self, ports: list[int]) -> dict[str, Any]:
        pki = self.pki
        return {
            "listeners": [
                {"bind": "127.0.0.1:0"},
                {
                    "bind": "127.0.0.1:0",
                    "tls": {"certificate": str(pki.server.certificate), "private_key": str(pki.server.private_key)},
                },
            ],
            "admin": {"bind": "127.0.0.1:0"},
            "cors": {"allow_origins": [ORIGIN], "allow_credentials": True},
            "auth": {
                "issuers": [
                    {
                        "issuer": self.issuer.url,
                        "audiences": [AUDIENCE],
                        "algorithms": ["ES256"],
                        "jwks": "discover",
                        "roles_from": ["roles"],
                    }
                ]
            },
            "authorization": {
                "default": "deny",
                "rules": [
                    {"methods": [f"/{service}/{method}" for method in methods], "roles": roles}
                    for service in TRANSPORTS
                    for methods, roles in (
                        (("Echo", "WhoAmI", "Count", "Fail", "Collect", "Chat"), [READER]),
                        (("Shout",), [ADMIN]),
                    )
                ],
                "descriptors": str(self.descriptors),
            },
            "upstreams": self.upstreams(ports),
            "observability": {"log": {"format": "json", "level": "info", "access": True}},
            "drain": "5s",
        }

    def upstreams(self, ports: list[int]) -> dict[str, dict[str, Any]]:
        return {transport: self._upstream(service, transport, ports) for service, transport in TRANSPORTS.items()}

    def _upstream(self, service: str, transport: str, ports: list[int]) -> dict[str, Any]:
        pki = self.pki
        section: dict[str, Any] = {
            "services": [service],
            "targets": [f"127.0.0.1:{port}" for port in ports],
            "transport": transport,
            "tls": {
                "ca": str(pki.ca),
                "certificate": str(pki.gateway.certificate),
                "private_key": str(pki.gateway.private_key),
                "server_name": NAME,
            },
            "idempotent_methods": [f"/{service}/{method}" for method in sorted(IDEMPOTENT)],
            "health_check": True,
        }
        if transport == "h2":
            section["outlier_detection"] = {"consecutive_failures": 20, "eject_for": "1s"}
        return section


def _descriptors() -> FileDescriptorSet:
    """The demo's, and its service once more under the other name."""
    files = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    demo = next(file for file in files.file if file.service)
    alias = files.file.add(name="soak.proto", package=ALIAS.rpartition(".")[0], syntax="proto3")
    alias.dependency.append(demo.name)
    alias.service.extend(demo.service)
    return files
