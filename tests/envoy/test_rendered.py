"""Envoy takes what is rendered, whatever gateway.yaml says, and has no complaint: no deprecated field either."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.envoy import Files, render
from gateway.settings import parse
from tests.envoy.proxied import Document
from tests.support.certificates import authority, leaf, write_pair
from tests.support.envoy import validate
from tests.support.tokens import KeyWorld

EXAMPLE = Path(__file__).parents[2] / "gateway.example.yaml"
PAIR = {"certificate": "pair.pem", "private_key": "pair.key"}
HERE: Document = {"bind": "127.0.0.1:0"}
MUTUAL: Document = {"bind": "127.0.0.1:0", "tls": {**PAIR, "client_ca": "ca.pem", "client_auth": "optional"}}
URI = "https://login.example.com/keys"
FIRST: Document = {"issuer": "https://login.example.com/", "audiences": ["grpc-api"], "jwks": "keys.json"}
SECOND: Document = {
    "issuer": "https://other.example.com/a'b",
    "audiences": ["a", "b"],
    "jwks": URI,
    "algorithms": ["EdDSA", "PS512"],
}
THIRD: Document = {
    "issuer": "https://[2001:db8::1]:8443/",
    "audiences": ["c"],
    "jwks": "discover",
    "roles_from": ["https://x.test/roles"],
}
URIS = {THIRD["issuer"]: "https://[2001:db8::1]:8443/keys", FIRST["issuer"]: URI}
RULE: Document = {"methods": ["/shop.v1.Orders/*", "/shop.v1.Orders/Delete"], "roles": ["admin", "orders.read"]}


def upstream(**changes: Any) -> Document:
    section = {"services": ["shop.v1.Orders"], "targets": ["shop.internal:50051"], "tls": {"ca": "ca.pem", **PAIR}}
    return {name: value for name, value in (section | changes).items() if value is not None}


def several(*targets: str, **changes: Any) -> Document:
    return {"upstreams": {"shop": upstream(targets=targets, **changes)}}


DOCUMENTS: dict[str, Document] = {
    "as little as there may be": {},
    "no admin": {"admin": None},
    "admin for other machines": {"admin": {"bind": "0.0.0.0:9901"}},
    "admin at the last port": {"admin": {"bind": "[::]:65535"}},
    "IPv6": {"listeners": [{"bind": "[::1]:0"}, {"bind": "[::]:8443", "tls": PAIR}], "admin": {"bind": "[::1]:0"}},
    "localhost": {"listeners": [{"bind": "localhost:0"}], "admin": {"bind": "localhost:0"}},
    "several listeners": {"listeners": [HERE, MUTUAL, {**HERE, "tls": PAIR}]},
    "TLS 1.3 and client certificates": {
        "listeners": [{"bind": "0.0.0.0:8443", "tls": {**MUTUAL["tls"], "minimum_version": "TLSv1.3"}}],
    },
    "client certificates required": {"listeners": [{**MUTUAL, "tls": {**MUTUAL["tls"], "client_auth": "required"}}]},
    "HTTP/1.1 alone": {"listeners": [{**HERE, "http2": False}, {**MUTUAL, "http2": False}]},
    "two workers": {"workers": 2},
    "exact origins and patterns": {
        "cors": {"allow_origins": ["https://a.test:8443", "https://*.a-b.test", "http://[::1]"]}
    },
    "any origin": {
        "cors": {"allow_origins": ["*"], "expose_headers": ["x-a"], "allow_headers": ["X-B"], "max_age": "0s"}
    },
    "credentials and a required origin": {
        "cors": {"allow_origins": ["https://a.test"], "allow_credentials": True, "require_origin": True},
    },
    "several issuers": {
        "auth": {"issuers": [FIRST, SECOND, THIRD], "forward_claims": {"x-user-id": "sub", "x-tenant": "a.b"}},
        "authorization": {"rules": [RULE]},
    },
    "tokens stay here": {"auth": {"issuers": [FIRST], "forward_authorization": False, "public_methods": []}},
    "odd roles": {
        "auth": {"issuers": [{**FIRST, "roles_from": ["https://x.test/y", "a b", "deep.er.still", "..", "'"]}]},
        "authorization": {
            "rules": [{**RULE, "roles": ["a b", "a|b", ".*", "é", "'", '"', "\\", "#", "a\nb", "{}", "~"]}]
        },
    },
    "no claims of roles": {"auth": {"issuers": [{**FIRST, "roles_from": []}]}, "authorization": {"rules": [RULE]}},
    "every token": {"auth": {"issuers": [FIRST]}, "authorization": {"default": "authenticated", "rules": [RULE]}},
    "a shadow": {"auth": {"issuers": [FIRST, SECOND]}, "authorization": {"shadow": True, "rules": [RULE]}},
    "a shadow without issuers": {"authorization": {"shadow": True}},
    "identities": {
        "listeners": [MUTUAL],
        "authorization": {
            "rules": [{"methods": ["/shop.v1.Orders/*"], "identities": ["spiffe://a/b", "DNS:a.b", "IP:192.0.2.1"]}]
        },
    },
    "identities in a shadow": {
        "listeners": [MUTUAL],
        "auth": {"issuers": [FIRST]},
        "authorization": {
            "shadow": True,
            "rules": [{"methods": ["/shop.v1.Orders/Get"], "identities": ["email:a@b.test"]}],
        },
    },
    "a target by address": several("127.0.0.1:50051"),
    "an IPv6 target": several("[2001:db8::1]:50051"),
    "several names": several("a.internal:50051", "dns:///b.internal:50051", tls={}),
    "several addresses of one name": several("192.0.2.1:1", "[2001:db8::2]:1", tls={"server_name": "shop.internal"}),
    "sockets": several("unix:shop.sock", "unix:/run/shop.sock"),
    "plaintext": several("127.0.0.1:1", tls=None, plaintext=True, allow_insecure_tokens=True),
    "all that an upstream can have": several(
        "127.0.0.1:1",
        balance="least_request",
        connections=4,
        keepalive="none",
        health_check=True,
        outlier_detection={"consecutive_failures": 2, "eject_for": "1m"},
        idempotent_methods=["/shop.v1.Orders/GetOrder", "/grpc.health.v1.Health/Check"],
        transport="h2",
    ),
    "the other client": several("127.0.0.1:1", transport="grpcio"),
    "several upstreams": {
        "upstreams": {
            "nobody": upstream(services=["*"]),
            "shop": upstream(services=["shop.v1.*", "shop.*"]),
            "admin": upstream(services=["shop.v1.Orders"]),
        },
    },
    "limits": {
        "limits": {
            "default_deadline": "1500ms",
            "max_deadline": "1m",
            "stream_idle": "90s",
            "body_stall": "100ms",
            "max_calls": 1000000,
            "max_connections": 1000000,
            "max_connection_age": "1s",
        },
        "drain": "0s",
    },
    "console log": {"observability": {"log": {"format": "console", "level": "debug"}}},
    "no access log": {"observability": {"log": {"access": False}}},
    "spans": {"observability": {"tracing": {"otlp": "https://otel.example.com/v1/traces"}}},
    "spans on this machine": {
        "observability": {"tracing": {"otlp": "http://127.0.0.1:4318/v1/traces", "ratio": 0.001}}
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    signer = authority()
    (folder / "tls").mkdir()
    (folder / "protos").mkdir()
    for place, stem in ((folder, "pair"), (folder, "server"), (folder, "gateway"), (folder / "tls", "server")):
        write_pair(place, *leaf(signer, "localhost"), stem=stem)
    write_pair(folder / "tls", *leaf(signer, "client.test"), stem="client")
    for place in (folder, folder / "tls"):
        (place / "ca.pem").write_bytes(signer.pem)
    (folder / "protos" / "shop.binpb").touch()
    (folder / "keys.json").write_bytes(KeyWorld().jwks())
    return folder


async def accepted(document: Document, folder: Path, *, watched: bool) -> None:
    settings = parse(json.dumps(document), folder, {"INTROSPECTION_SECRET": "hunter2"})
    files = Files(folder).watching(folder / "secrets") if watched else Files(folder)
    rendering = render(settings, files, URIS)
    (folder / "secrets").mkdir(exist_ok=True)
    for name, text in rendering.secrets.items():
        (folder / "secrets" / name).write_text(text)
    said = await validate(rendering.text)
    assert said.startswith("configuration '")
    assert said.endswith("' OK")
    assert "\n" not in said  # no word about a deprecated field


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_envoy_takes_it_without_a_word(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))  # not every machine has it where Envoy's images do
    least: Document = {"listeners": [HERE], "admin": {"bind": "127.0.0.1:0"}, "upstreams": {"shop": upstream()}}
    await accepted(least | DOCUMENTS[name], folder, watched=name != "as little as there may be")


async def test_envoy_takes_the_example(folder: Path) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    document["auth"].pop("introspection")  # Envoy has nothing for this, nor, by itself, for rates
    document["limits"].pop("rate")
    await accepted(document, folder, watched=False)
    await accepted(document, folder, watched=True)


async def test_a_complaint_of_envoys_would_be_seen(folder: Path) -> None:
    """What the tests above rely on."""
    least: Document = {"listeners": [HERE], "upstreams": {"shop": upstream()}}
    text = render(parse(json.dumps(least), folder)).text
    deprecated = text.replace("    - name: shop\n", "    - name: shop\n      http2_protocol_options: {}\n")
    assert deprecated != text
    assert "deprecated" in await validate(deprecated)
