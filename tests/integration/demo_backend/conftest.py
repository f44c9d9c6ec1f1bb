"""The demo backend, and a client that it lets in."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.demo.backend import Backend
from gateway.demo.interceptors import JwtVerifier
from gateway.demo.pb import demo_pb2_grpc
from gateway.demo.pki import Pki
from tests.integration.demo_backend.calling import AUDIENCE, ISSUER, SIGNER, connect, running


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def backend(pki: Pki) -> AsyncIterator[Backend]:
    async with running(Backend(pki, verify=JwtVerifier(SIGNER.jwks, issuer=ISSUER, audience=AUDIENCE))) as backend:
        yield backend


@pytest.fixture
async def stub(backend: Backend, pki: Pki) -> AsyncIterator[Any]:
    async with connect(backend, pki.ca, pki.gateway) as channel:
        yield demo_pb2_grpc.DemoStub(channel)
