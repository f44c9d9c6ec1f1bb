"""The files of a measurement: certificates, key set, descriptors, gateway.yaml; and the tokens that go with them.

Rule: nothing is left out that a gateway in production has: CORS, tokens and roles, mutual TLS, access log, metrics. All
subjects get the same file.
"""

import json
import time
from pathlib import Path

import yaml

from bench.methods import SERVICE, descriptors
from gateway.demo.pki import Pki
from gateway.demo.signer import Signer

ORIGIN = "https://app.bench.test"
ISSUER = "https://issuer.bench.test/"
AUDIENCE = "bench"
ROLE = "caller"
BACKEND_NAME = "backend.demo.internal"  # in the backend's certificate
LIFETIME = 3600  # seconds of a token: longer than a run

MAX_CALLS = 12_000  # more than the idle streams and what is called beside them


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

    def configuration(self, port: int, transport: str = "auto", workers: int = 1) -> Path:
        """A gateway.yaml for the backend on `port`, on free ports of this machine: plaintext first, then TLS."""
        settings = {
            "listeners": [
                {"bind": "127.0.0.1:0"},
                {
                    "bind": "127.0.0.1:0",
                    "tls": {
                        "certificate": str(self.pki.server.certificate),
                        "private_key": str(self.pki.server.private_key),
                    },
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
            "authorization": {
                "default": "deny",
                "rules": [{"methods": [f"/{SERVICE}/*"], "roles": [ROLE]}],
                "descriptors": str(self.descriptors),
            },
            "upstreams": {
                "bench": {
                    "services": [SERVICE],
                    "targets": [f"127.0.0.1:{port}"],
                    "transport": transport,
                    "tls": {
                        "ca": str(self.pki.ca),
                        "certificate": str(self.pki.gateway.certificate),
                        "private_key": str(self.pki.gateway.private_key),
                        "server_name": BACKEND_NAME,
                    },
                }
            },
            "limits": {"max_calls": MAX_CALLS},
            "observability": {"log": {"format": "json", "level": "info", "access": True}},
            "workers": workers,
            "drain": "1s",
        }
        path = self.directory / f"gateway-{port}-{transport}-{workers}.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        return path


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
