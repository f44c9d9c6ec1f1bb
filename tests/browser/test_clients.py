"""gRPC-Web clients that others wrote, in Chromium and in Node.js, against a gateway with a real mTLS backend; over
HTTP/1.1 and, in Chromium, over HTTP/2.

The page is of another origin than the gateway, so the browser asks before it calls. Clients: tests/browser/clients.
"""

import asyncio
import base64
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from gateway.protocol.status import Code
from tests.browser.network import Network
from tests.browser.runtimes import Call, End, NodeRuntime, PageRuntime, Runtime, node_runtime, serve_page
from tests.support.gateway import RunningGateway, eventually, running

IN_BROWSERS = ("connect-web", "grpc-web binary", "grpc-web text", "protobuf-ts binary", "protobuf-ts text")
IN_NODE = ("connect-web", "protobuf-ts binary", "protobuf-ts text")
HOLDS_MESSAGES_BACK = "grpc-web binary"  # XMLHttpRequest gives binary data when it is complete
NO_STREAMS = {  # how clients refuse to send a stream
    "connect-web": Code.UNKNOWN,
    "protobuf-ts binary": Code.UNIMPLEMENTED,
    "protobuf-ts text": Code.UNIMPLEMENTED,
}
LISTENERS = {"http": 0, "https": 1}
PROTOCOLS = {"http": "http/1.1", "https": "h2"}  # that Chromium speaks there; Node's fetch stays with HTTP/1.1
SERVICE = "/demo.v1.Demo/"
FROM_THE_GATEWAY = {
    "traceparent", "user-agent", "x-user-agent", "x-user-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"
}  # fmt: skip
AT_ONCE = 0.1  # seconds
ENDLESS = {"count": 0, "intervalMs": 20}

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class Way:
    """One client in one runtime, to one listener."""

    runtime: str
    client: str
    listener: str

    def param(self) -> Any:
        marks = [pytest.mark.browser] if self.runtime == "chromium" else []
        return pytest.param(self, marks=marks, id=f"{self.runtime}, {self.client}, {self.listener}")


WAYS = [Way("chromium", client, listener).param() for client in IN_BROWSERS for listener in LISTENERS]
WAYS += [Way("node", client, listener).param() for client in IN_NODE for listener in LISTENERS]


@dataclass
class Client:
    """A client, ready to call."""

    way: Way
    runtime: Runtime
    gateway: RunningGateway

    async def start(
        self,
        method: str,
        request: dict[str, Any] | None = None,
        *,
        role: str | None = "reader",
        metadata: dict[str, str] | None = None,
        deadline: int | None = None,
    ) -> Call:
        """`deadline`: ms from now; `role` None: without a token."""
        token = {"authorization": f"Bearer {self.gateway.token(role)}"} if role else {}
        call = {
            "client": self.way.client,
            "url": self.gateway.gateway.urls[LISTENERS[self.way.listener]],
            "method": method,
            "request": request or {},
            "metadata": token | (metadata or {}),
            "deadline": deadline,
        }
        return await self.runtime.start(call)

    async def call(self, method: str, request: dict[str, Any] | None = None, **options: Any) -> End:
        return await (await self.start(method, request, **options)).end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_port() -> AsyncIterator[int]:
    async with serve_page() as port:
        yield port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(page_port: int) -> AsyncIterator[RunningGateway]:
    def change(configuration: dict[str, Any]) -> None:
        configuration["cors"]["allow_origins"] = [f"http://127.0.0.1:{page_port}"]
        configuration["cors"]["allow_headers"] = ["x-sample", "x-sample-bin"]

    async with running(change) as running_gateway:
        yield running_gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(chromium: Browser, page_port: int) -> PageRuntime:
    context = await chromium.new_context(ignore_https_errors=True)  # the certificates are of this run
    runtime = PageRuntime(await context.new_page())
    await runtime.open(f"http://127.0.0.1:{page_port}/")
    return runtime


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(gateway: RunningGateway) -> AsyncIterator[NodeRuntime]:
    async with node_runtime(gateway.world.pki.ca) as runtime:
        yield runtime


@pytest.fixture
def client(way: Way, gateway: RunningGateway, request: pytest.FixtureRequest) -> Client:
    runtime: Runtime = request.getfixturevalue({"chromium": "page", "node": "node"}[way.runtime])
    return Client(way, runtime, gateway)


every_way = pytest.mark.parametrize("way", WAYS)
in_time = pytest.mark.parametrize("way", [way for way in WAYS if way.values[0].client != HOLDS_MESSAGES_BACK])
in_chromium = pytest.mark.parametrize("way", [way for way in WAYS if way.values[0].runtime == "chromium"])


@every_way
async def test_a_unary_call(client: Client) -> None:
    end = await client.call("Echo", {"text": "grüß dich 在庫"})
    assert end == End(0, "", [], [{"text": "grüß dich 在庫"}])


@every_way
async def test_a_message_of_a_mebibyte(client: Client) -> None:
    payload = base64.b64encode(bytes(range(256)) * 4096).decode()
    end = await client.call("Echo", {"payload": payload})
    assert end.code == 0
    assert end.messages == [{"payload": payload}]


@every_way
async def test_a_stream(client: Client) -> None:
    end = await client.call("Count", {"count": 50})
    assert end.code == 0
    assert [message["number"] for message in end.messages] == list(range(1, 51))


@every_way
async def test_a_stream_without_messages_that_fails(client: Client) -> None:
    end = await client.call("Count", {"payloadBytes": 2**31})
    assert (end.code, end.messages) == (Code.INVALID_ARGUMENT, [])


@in_time
async def test_messages_arrive_while_the_stream_goes_on(client: Client) -> None:
    call = await client.start("Count", ENDLESS)
    assert [(await call.message())["number"] for _ in range(3)] == [1, 2, 3]
    await call.cancel()
    await call.end()


@every_way
async def test_a_cancelled_stream_ends_at_the_backend_at_once(client: Client) -> None:
    """Once in some tries is enough, for the machine may be busy; a gateway that waits is late each time."""
    backend = client.gateway.world.backend

    async def ended_at() -> float:
        await eventually(lambda: backend.open_streams == 0)
        return time.time()

    delays: list[float] = []
    while len(delays) < 5 and min(delays, default=math.inf) > AT_ONCE:
        call = await client.start("Count", ENDLESS)
        await eventually(lambda: backend.open_streams == 1)
        ended = asyncio.ensure_future(ended_at())
        cancelled_at = await call.cancel()
        delays.append(await ended - cancelled_at)
        assert (await call.end()).code == Code.CANCELLED
    assert min(delays) <= AT_ONCE


@every_way
async def test_a_deadline_ends_the_call_at_the_backend_too(client: Client) -> None:
    end = await client.call("Count", ENDLESS, deadline=200)
    assert end.code == Code.DEADLINE_EXCEEDED
    assert end.messages[0] == {"number": 1}
    await eventually(lambda: client.gateway.world.backend.open_streams == 0)


@every_way
async def test_metadata_deadline_and_identity_arrive(client: Client) -> None:
    sent = {"x-sample": "from afar", "x-sample-bin": "yv4="}
    end = await client.call("WhoAmI", metadata=sent, deadline=5000)
    assert end.code == 0
    [reply] = end.messages
    assert sent.items() <= reply["metadata"].items()
    assert reply["metadata"].keys() <= sent.keys() | FROM_THE_GATEWAY, "and nothing else of the browser's headers"
    assert reply["subject"] == "reader@demo"
    assert 4 < float(reply["deadline"]) < 5.1  # gRPC rounds what is left up, to three digits


@every_way
async def test_an_error_with_details(client: Client) -> None:
    failure = {"code": 9, "message": "the shelf is empty 在庫なし", "detail": "SHELF_EMPTY"}
    end = await client.call("Fail", failure)
    assert end.code == Code.FAILED_PRECONDITION
    assert end.message == failure["message"]
    assert end.details == [{"reason": "SHELF_EMPTY", "domain": "demo.internal"}]


@every_way
async def test_a_call_without_a_token_is_refused(client: Client) -> None:
    before = client.gateway.backend_calls
    end = await client.call("Echo", {"text": "anybody?"}, role=None)
    assert (end.code, end.messages) == (Code.UNAUTHENTICATED, [])
    assert client.gateway.backend_calls == before


@every_way
async def test_a_call_without_the_role_is_refused(client: Client) -> None:
    before = client.gateway.backend_calls
    end = await client.call("Shout", {"text": "me too"})
    assert (end.code, end.messages) == (Code.PERMISSION_DENIED, [])
    assert client.gateway.backend_calls == before
    assert (await client.call("Shout", {"text": "me too"}, role="admin")).messages == [{"text": "ME TOO"}]


@pytest.mark.parametrize("method", ["Collect", "Chat"])
@pytest.mark.parametrize("way", [Way("chromium", client, at).param() for client in NO_STREAMS for at in LISTENERS])
async def test_a_client_stream_is_not_tried(client: Client, page: PageRuntime, method: str) -> None:
    """Over HTTP/2 neither, where Chromium could. Google's grpc-web has no call for it at all."""
    network = await Network.watch(page.page)
    before = client.gateway.backend_calls
    end = await client.call(method, {"text": "one"})
    assert (end.code, end.messages) == (NO_STREAMS[client.way.client], [])
    assert "stream" in end.message
    assert crossed(network) == set()
    assert client.gateway.backend_calls == before


def crossed(network: Network) -> set[tuple[str, int | None, str]]:
    """Method, status and protocol of what went to the gateway."""
    return {(each.method, each.status, each.protocol) for each in network.answered(SERVICE)}


@in_chromium
async def test_the_browser_asks_before_it_calls(
    way: Way, gateway: RunningGateway, chromium: Browser, page_port: int
) -> None:
    fresh = await chromium.new_context(ignore_https_errors=True)  # remembers no answer to a preflight
    runtime = PageRuntime(await fresh.new_page())
    await runtime.open(f"http://127.0.0.1:{page_port}/")
    network = await Network.watch(runtime.page)
    end = await Client(way, runtime, gateway).call("Echo", {"text": "may I?"})
    assert end.messages == [{"text": "may I?"}]
    protocol = PROTOCOLS[way.listener]
    # The page may have its answer before the browser has told of it.
    await eventually(lambda: crossed(network) == {("OPTIONS", 204, protocol), ("POST", 200, protocol)})
    await fresh.close()


@in_chromium
async def test_a_page_of_a_foreign_origin_is_stopped(
    way: Way, gateway: RunningGateway, chromium: Browser, page_port: int
) -> None:
    fresh = await chromium.new_context(ignore_https_errors=True)
    runtime = PageRuntime(await fresh.new_page())
    await runtime.open(f"http://localhost:{page_port}/")  # the same server, but not the origin that may call
    network = await Network.watch(runtime.page)
    before = gateway.backend_calls
    end = await Client(way, runtime, gateway).call("Echo", {"text": "let me in"})
    await fresh.close()
    assert end.code != 0
    assert end.messages == []
    assert crossed(network) == {("OPTIONS", 403, PROTOCOLS[way.listener])}
    assert gateway.backend_calls == before
