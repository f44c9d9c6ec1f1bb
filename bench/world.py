"""The files of a measurement: certificates, key set, descriptors, gateway.yaml; and the tokens that go with them.

Rule: nothing is left out that a gateway in production has: CORS, tokens and roles, mutual TLS, access log, metrics. All
subjects get the same file.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from gateway.demo.pb import demo_pb2
from gateway.demo.pki import Pki
from gateway.demo.signer import Signer
from gateway.settings import SettingsError
from gateway.settings import load as load_settings

ORIGIN = "https://app.bench.test"
ISSUER = "https://issuer.bench.test/"
AUDIENCE = "bench"
ROLE = "caller"
BACKEND_NAME = "backend.demo.internal"  # in the backend's certificate
LIFETIME = 3600  # seconds of a token: longer than a run

SERVICE = "bench.Bench"
SMALL = "Echo.grpc"  # nghttpd takes the type of an answer from the extension of a file
LARGE = "Large.grpc"
DEMO_SERVICE = "demo.v1.Demo"

SMALL_MESSAGE = b"\x0a\x10sixteen bytes ok"  # field 1: a text, as a small message has it
LARGE_MESSAGE = bytes(64 * 1024)


class World:
    """All of it, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # In a folder of their own: the gateway looks at certificates again when anything beside them is written.
        certificates = directory / "tls"
        certificates.mkdir()
        self.pki = Pki(certificates)
        self._signer = Signer()
        self.jwks = directory / "jwks.json"
        self.jwks.write_text(json.dumps(self._signer.jwks()))
        self.descriptors = directory / "bench.binpb"
        self.descriptors.write_bytes(descriptors().SerializeToString())

    def tokens(self, count: int) -> list[str]:
        """Access tokens (RFC 9068), no two of them the same. Takes about 50 µs for each."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bench", "roles": [ROLE], "iat": now, "exp": now + LIFETIME}
        return [self._signer.sign({**claims, "jti": f"{time.perf_counter_ns()}-{number}"}) for number in range(count)]

    def without_http2(self) -> str:
        """Why the HTTP/2 cases cannot be measured; empty: they can."""
        try:
            load_settings(self.configuration(1, (SERVICE,), with_descriptors=True, http2=True))
        except SettingsError as error:
            if all(problem.key.endswith(".http2") for problem in error.problems):
                return "the gateway has no HTTP/2 front yet (http2: true is refused)"
        return ""

    def configuration(self, port: int, services: Sequence[str], *, with_descriptors: bool, http2: bool = False) -> Path:
        """A gateway.yaml for the backend on `port`, on free ports of this machine. `http2`: over TLS."""
        authorization: dict[str, object] = {
            "default": "deny",
            "rules": [{"methods": [f"/{service}/*" for service in services], "roles": [ROLE]}],
        }
        if with_descriptors:
            authorization["descriptors"] = str(self.descriptors)
        settings = {
            "listeners": [
                {"bind": "127.0.0.1:0"},
                {
                    "bind": "127.0.0.1:0",
                    "tls": {
                        "certificate": str(self.pki.server.certificate),
                        "private_key": str(self.pki.server.private_key),
                    },
                    **({"http2": True} if http2 else {}),
                },
            ],
            "admin": {"bind": "127.0.0.1:0"},
            "cors": {"allow_origins": [ORIGIN], "allow_credentials": True},
            "auth": {
                "issuers": [
                    {
                        "issuer": ISSUER,
                        "audiences": [AUDIENCE],
                        "algorithms": ["ES256"],
                        "jwks": str(self.jwks),
                        "roles_from": ["roles"],
                    }
                ]
            },
            "authorization": authorization,
            "upstreams": {
                "bench": {
                    "services": list(services),
                    "targets": [f"127.0.0.1:{port}"],
                    "tls": {
                        "ca": str(self.pki.ca),
                        "certificate": str(self.pki.gateway.certificate),
                        "private_key": str(self.pki.gateway.private_key),
                        "server_name": BACKEND_NAME,
                    },
                }
            },
            "limits": {"max_calls": 5000},
            "observability": {"log": {"format": "json", "level": "info", "access": True}},
            "drain": "1s",
        }
        variant = "".join(word for word, wanted in (("-descriptors", with_descriptors), ("-h2", http2)) if wanted)
        path = self.directory / f"gateway-{port}{variant}.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        return path


def descriptors() -> FileDescriptorSet:
    """bench.Bench, whose methods are unary, and the demo's services.

    Made by hand: no compiler allows the dot in the names of the methods.
    """
    bench = FileDescriptorProto(name="bench.proto", package=SERVICE.rpartition(".")[0], syntax="proto3")
    bench.message_type.add(name="Message").field.add(name="text", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    service = bench.service.add(name=SERVICE.rpartition(".")[2])
    for method in (SMALL, LARGE):
        service.method.add(name=method, input_type=".bench.Message", output_type=".bench.Message")
    demo = FileDescriptorProto()
    demo_pb2.DESCRIPTOR.CopyToProto(demo)
    return FileDescriptorSet(file=[bench, demo])


def frame(message: bytes) -> bytes:
    """A gRPC length-prefixed message, which a gRPC-Web data frame is too (PROTOCOL-HTTP2, PROTOCOL-WEB)."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def browser_headers(token: str | None) -> dict[str, str]:
    """What Chromium and the official client send with a call, in their order."""
    headers = {
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
        "Safari/537.36",
        "sec-ch-ua-platform": '"Linux"',
        "sec-ch-ua": '"Chromium";v="142", "Not_A Brand";v="99"',
        "sec-ch-ua-mobile": "?0",
        "content-type": "application/grpc-web+proto",
        "x-grpc-web": "1",
        "x-user-agent": "grpc-web-javascript/0.1",
        "accept": "*/*",
        "origin": ORIGIN,
        "sec-fetch-site": "same-site",
        "sec-fetch-mode": "cors",
        "sec-fetch-dest": "empty",
        "referer": f"{ORIGIN}/",
        "accept-encoding": "gzip, deflate, br, zstd",
        "accept-language": "en-US,en;q=0.9",
    }
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return headers
