"""Every way to present oneself, over the wire: who is refused reaches no backend, whatever method and mode he tries."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from gateway.demo.backend import Backend
from gateway.demo.pb import demo_pb2
from gateway.demo.pki import Pki
from gateway.protocol.metadata import Header
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, ORIGIN, TEXT, RunningGateway, running
from tests.support.token_table import CASES, Case
from tests.support.tokens import KeyWorld
from tests.support.wire import Answer, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNARY, STREAM, CLOSED = DEMO + "Echo", DEMO + "Count", DEMO + "Shout"
BODIES = {
    UNARY: message(demo_pb2.EchoRequest(text="hello")),
    STREAM: message(demo_pb2.CountRequest(count=2)),
    CLOSED: message(demo_pb2.EchoRequest(text="hello")),
}
WAYS = [(path, kind) for path in (UNARY, STREAM) for kind in (BINARY, TEXT)]


@pytest.fixture(scope="module")
def keys() -> KeyWorld:
    return KeyWorld()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    """It takes whatever the gateway lets through: what it counts is what the gateway alone has decided."""
    backend = Backend(Pki(tmp_path_factory.mktemp("pki")), require_token=False)
    await backend.start()
    yield backend
    await backend.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    keys: KeyWorld, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("keys")
    documents = {keys.issuer: keys.jwks(), keys.other_issuer: keys.other_jwks()}
    issuers: list[dict[str, Any]] = []
    for number, (issuer, document) in enumerate(documents.items()):
        file = folder / f"{number}.json"
        file.write_bytes(document)
        issuers.append({"issuer": issuer, "audiences": [keys.audience], "jwks": str(file)})
    pki = backend._pki

    def change(configuration: dict[str, Any]) -> None:
        configuration["auth"] |= {"issuers": issuers, "forward_authorization": False}
        configuration["authorization"]["rules"] = [
            {"methods": [UNARY, STREAM], "roles": ["orders.read"]},
            {"methods": [CLOSED], "roles": ["admin"]},
        ]
        configuration["upstreams"]["demo"] |= {
            "targets": [f"127.0.0.1:{backend.port}"],
            "tls": {
                "ca": str(pki.ca),
                "certificate": str(pki.gateway.certificate),
                "private_key": str(pki.gateway.private_key),
                "server_name": "backend.demo.internal",
            },
        }

    async with running(change) as gateway:
        yield gateway


async def ask(gateway: RunningGateway, path: str, kind: str, sent: list[Header]) -> Answer:
    headers: list[tuple[str, str | bytes]] = [("origin", ORIGIN), ("content-type", kind)]
    headers += [(name.decode(), value) for name, value in sent]
    body = BODIES.get(path, message(b""))
    return await gateway.ask(request(path, headers, base64.b64encode(body) if kind == TEXT else body))


def secrets(sent: list[Header]) -> list[str]:
    """What of the credentials is long enough to be recognised, whole and in pieces."""
    text = b" ".join(value for _, value in sent).decode("latin-1")
    return [piece for piece in text.replace(".", " ").split() if len(piece) > 12]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_table(gateway: RunningGateway, backend: Backend, keys: KeyWorld, case: Case) -> None:
    for path, kind in WAYS:
        sent = case.headers(keys)
        before = backend.calls.total()
        with capture_logs() as events:
            answer = await ask(gateway, path, kind, sent)
        messages, status, trailing = answer.grpc()
        assert status.code == case.code, (path, kind, status)
        assert answer.value("access-control-allow-origin") == ORIGIN
        if not case.reason:
            assert messages
            assert backend.calls.total() == before + 1
            continue
        assert backend.calls.total() == before, (path, kind)
        assert (messages, trailing) == ([], [])
        reasons = [event["reason"] for event in events if event["event"] == "call"]
        assert reasons == [case.reason]
        challenge = "Bearer" if case.reason == "token_missing" else 'Bearer error="invalid_token"'
        assert answer.value("www-authenticate") == challenge
        # The page learns that it was refused, and nothing of why; the log learns why, and nothing of the token.
        assert status.message in ("the access token is missing", "the access token was refused")
        for secret in secrets(sent):
            assert secret not in answer.raw.decode("latin-1")
            assert secret not in json.dumps(events, default=repr)


@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_a_good_token_opens_what_its_roles_open(
    gateway: RunningGateway, backend: Backend, keys: KeyWorld, kind: str
) -> None:
    before = backend.calls.total()
    for case in CASES:
        if not case.reason:
            answer = await ask(gateway, CLOSED, kind, case.headers(keys))
            assert (answer.code, answer.value("www-authenticate")) == (7, 'Bearer error="insufficient_scope"'), (
                case.name
            )
    assert backend.calls.total() == before


async def test_a_bad_token_does_not_close_what_is_public(
    gateway: RunningGateway, backend: Backend, keys: KeyWorld
) -> None:
    before = backend.calls.total()
    for case in CASES:
        answer = await ask(gateway, "/grpc.health.v1.Health/Check", BINARY, case.headers(keys))
        assert answer.code == 0, case.name
    assert backend.calls.total() == before + len(CASES)


@pytest.mark.parametrize("path", ["/no.such.Service/Do", DEMO + "Nothing", "/grpc.health.v1.Health/Watch"])
async def test_a_stranger_does_not_learn_what_there_is(
    gateway: RunningGateway, backend: Backend, keys: KeyWorld, path: str
) -> None:
    before = backend.calls.total()
    for case in CASES:
        if case.reason:
            assert (await ask(gateway, path, BINARY, case.headers(keys))).code == 16, case.name
    assert backend.calls.total() == before


async def test_tokens_are_taken_from_the_header_alone(
    gateway: RunningGateway, backend: Backend, keys: KeyWorld
) -> None:
    token = keys.token()
    before = backend.calls.total()
    for header in (b"cookie", b"x-authorization", b"proxy-authorization", b"grpc-authorization", b"access_token"):
        refused = await ask(gateway, UNARY, BINARY, [(header, b"Bearer " + token)])
        assert refused.code == 16, header
    in_query = await ask(gateway, UNARY + "?access_token=" + token.decode(), BINARY, [])
    assert in_query.status == 400
    assert token not in in_query.raw
    headers = [("origin", ORIGIN), ("content-type", BINARY)]
    in_body = await gateway.ask(request(UNARY, headers, message(b"authorization: Bearer " + token)))
    assert in_body.code == 16
    assert backend.calls.total() == before
