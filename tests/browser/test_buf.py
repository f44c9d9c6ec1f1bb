"""`buf curl`, a gRPC-Web client for the command line that others wrote; protos/ tells it what the messages are."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.protocol.status import Code
from tests.browser.runtimes import CLIENTS
from tests.support.gateway import RunningGateway, eventually, running

PROTOS = Path(__file__).resolve().parents[2] / "protos"

pytestmark = pytest.mark.node


WAYS = {"http/1.1": (0, ()), "h2, prior knowledge": (0, ("--http2-prior-knowledge",)), "h2, tls": (1, ())}


class Buf:
    """`buf curl` with what every call needs."""

    def __init__(self, gateway: RunningGateway, way: str) -> None:
        listener, options = WAYS[way]
        self.version = "HTTP/2.0" if way.startswith("h2") else "HTTP/1.1"
        self._gateway = gateway
        self._url = gateway.gateway.urls[listener]
        trust = ("--cacert", str(gateway.world.pki.ca)) if self._url.startswith("https") else ()
        self._options = (*trust, *options)

    async def start(self, method: str, data: str, *options: str, role: str | None = "reader") -> Process:
        token = ["--header", f"authorization: Bearer {self._gateway.token(role)}"] if role else []
        arguments = ["--protocol", "grpcweb", "--schema", str(PROTOS), "--data", data, *self._options, *token, *options]
        url = f"{self._url}/demo.v1.Demo/{method}"
        return await asyncio.create_subprocess_exec(_program(), "curl", *arguments, url, stdout=PIPE, stderr=PIPE)

    async def call(self, method: str, data: str, *, role: str | None = "reader") -> tuple[int, str]:
        """The gRPC status code, and what was printed: messages, or the error."""
        process = await self.start(method, data, role=role)
        async with asyncio.timeout(10):
            printed, error = await process.communicate()
        assert process.returncode is not None
        code, other = divmod(process.returncode, 8)  # the status code is shifted by three bits
        assert other == 0, error.decode()
        return code, (error if code else printed).decode()


def _program() -> Path:
    """The program itself: the npm package puts a wrapper before it, which would die alone."""
    [program] = (CLIENTS / "node_modules" / "@bufbuild").glob("buf-*/bin/buf")
    return program


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    async with running() as running_gateway:
        yield running_gateway


@pytest.fixture(params=WAYS)
def buf(gateway: RunningGateway, request: pytest.FixtureRequest) -> Buf:
    return Buf(gateway, request.param)


async def test_unary(buf: Buf) -> None:
    code, printed = await buf.call("Echo", '{"text": "grüß dich"}')
    assert (code, json.loads(printed)) == (0, {"text": "grüß dich"})


async def test_it_speaks_the_version_of_http_that_is_meant(buf: Buf) -> None:
    process = await buf.start("Echo", "{}", "--verbose")
    async with asyncio.timeout(10):
        _, told = await process.communicate()
    assert f" {buf.version} 200 OK" in told.decode()


async def test_server_stream(buf: Buf) -> None:
    code, printed = await buf.call("Count", '{"count": 3}')
    assert (code, "".join(printed.split())) == (0, '{"number":1}{"number":2}{"number":3}')


async def test_client_stream(buf: Buf) -> None:
    code, printed = await buf.call("Collect", '{"text": "one"} {"text": "two"}')
    assert (code, json.loads(printed)) == (0, {"count": 2, "text": "one two"})


async def test_an_error_with_details(buf: Buf) -> None:
    code, printed = await buf.call("Fail", '{"code": 9, "message": "在庫なし", "detail": "SHELF_EMPTY"}')
    assert code == Code.FAILED_PRECONDITION
    error = json.loads(printed)
    assert error["message"] == "在庫なし"
    assert [detail["type"] for detail in error["details"]] == ["google.rpc.ErrorInfo"]


async def test_refusals(buf: Buf, gateway: RunningGateway) -> None:
    assert (await buf.call("Echo", "{}", role=None))[0] == Code.UNAUTHENTICATED
    assert (await buf.call("Shout", "{}"))[0] == Code.PERMISSION_DENIED
    assert gateway.backend_calls == 0


async def test_a_client_that_is_stopped_ends_the_stream_at_the_backend(buf: Buf, gateway: RunningGateway) -> None:
    process = await buf.start("Count", '{"intervalMs": 20}')
    assert process.stdout is not None
    async with asyncio.timeout(10):
        assert b"{" in await process.stdout.readline()  # a message, while the stream goes on
        assert gateway.world.backend.open_streams == 1
        process.terminate()
        await process.communicate()
    await eventually(lambda: gateway.world.backend.open_streams == 0)
