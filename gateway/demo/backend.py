"""A gRPC backend as it should stand behind the gateway: mutual TLS, the gateway's identity, the caller's token.

Rule: it cannot be started with less than mutual TLS, and leaving out the token has to be said (`require_token=False`).
The ledger counts what arrives, also what is refused then: a count of zero says that nothing came.

A stop without a lost call: it says NOT_SERVING, goes on for NOTICE while whoever heard of it turns away, and only then
refuses calls, for grpc cancels those that arrive in the moment of a stop. Nobody who watches: nobody to wait for, so a
demonstration ends at once.
"""

import asyncio
import contextlib
import errno
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gateway.demo.interceptors import (
    Context,
    IdentityInterceptor,
    Reply,
    Request,
    TokenInterceptor,
    Verify,
    guarded,
)
from gateway.demo.pb import demo_pb2, demo_pb2_grpc
from gateway.demo.pki import Pki
from gateway.demo.service import DemoService

SERVICE = demo_pb2.DESCRIPTOR.services_by_name["Demo"].full_name
WATCH = f"/{health.SERVICE_NAME}/Watch"
NOTICE = 1.0  # seconds
OPTIONS = [
    ("grpc.so_reuseport", 0),  # a port that is taken must fail, not be shared with whoever has it
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # above the gateway's limits, so that those are seen at work
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.absolute_max_metadata_size", 64 * 1024),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # by default a keepalive every 5 minutes counts as abuse
]


class Backend:
    """demo.v1.Demo with health and reflection; may be started again after it was stopped."""

    def __init__(
        self,
        pki: Pki,
        *,
        admit: str | tuple[str, ...] = "DNS:gateway.demo.internal",
        verify: Verify | None = None,
        require_token: bool = True,
        bind: str = "127.0.0.1:0",
    ) -> None:
        """`admit`: the gateway's identity, or several. `verify`: a token in, its claims out, or TokenError.

        Raises ValueError when tokens are required and nothing is given to verify them.
        """
        if require_token and verify is None:
            raise ValueError("a backend that requires tokens needs `verify`; require_token=False does without")
        self.bind = bind
        self.port = 0
        self.ledger = Ledger()
        self._identity = IdentityInterceptor(*((admit,) if isinstance(admit, str) else admit))
        token = [TokenInterceptor(verify, required=require_token)] if verify else []
        self._interceptors: list[grpc.aio.ServerInterceptor] = [self.ledger, self._identity, *token]
        self._pki = pki
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()

    @property
    def calls(self) -> "Counter[str]":
        """How many calls arrived so far, by path, those included that were refused."""
        return self.ledger.calls

    @property
    def open_streams(self) -> int:
        """How many calls are open now: HTTP/2 streams whose handler runs."""
        return self.ledger.open

    def admit(self, *identities: str) -> None:
        """Admits these in place of the former ones, from the next call on."""
        self._identity.admit = identities

    async def start(self) -> int:
        """Serves, and returns the port. Raises OSError (EADDRINUSE) when `bind` names one that is taken."""
        server = grpc.aio.server(interceptors=self._interceptors, options=OPTIONS)
        demo_pb2_grpc.add_DemoServicer_to_server(DemoService(), server)  # type: ignore[no-untyped-call]
        self._health = health.aio.HealthServicer()
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection([SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
        try:
            self.port = server.add_secure_port(self.bind, _credentials(self._pki))
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)}: {self.bind} (demo backend)") from error
        await server.start()
        self._server = server
        return self.port

    async def stop(self, grace: float | None = None) -> None:
        """Says NOT_SERVING, goes on for NOTICE at most while that is watched, refuses new calls, gives open ones
        `grace` seconds to end, then cancels them.
        """
        if self._server is not None:
            server, self._server = self._server, None
            await self._health.enter_graceful_shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NOTICE):
                    await self.ledger.wait_unwatched()
            await server.stop(grace)

    async def wait_open(self, count: int) -> None:
        """Returns once exactly `count` calls are open."""
        await self.ledger.wait_open(count)


class Ledger(grpc.aio.ServerInterceptor):
    """Counts calls, and which of them are still open."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()  # by path
        self._open: Counter[str] = Counter()
        self._changed = asyncio.Event()

    @property
    def open(self) -> int:
        return self._open.total()

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Request, Reply] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Request, Reply] | None":
        path = handler_call_details.method
        self.calls[path] += 1
        handler = await continuation(handler_call_details)
        return guarded(handler, partial(self._opened, path)) if handler else None

    async def wait_open(self, count: int) -> None:
        await self._until(lambda: self.open == count)

    async def wait_unwatched(self) -> None:
        """Returns once nobody watches the backend's health."""
        await self._until(lambda: not self._open[WATCH])

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def _opened(self, path: str, context: Context) -> None:
        self._add(path, 1)
        # However the call ends. (The stub asks for an instance of a class that exists only in the stub.)
        context.add_done_callback(partial(self._closed, path))  # type: ignore[arg-type]

    def _closed(self, path: str, ctx: Context) -> None:  # noqa: ARG002
        self._add(path, -1)

    def _add(self, path: str, difference: int) -> None:
        self._open[path] += difference
        self._changed.set()


def _credentials(pki: Pki) -> grpc.ServerCredentials:
    pair = (pki.backend.private_key.read_bytes(), pki.backend.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], root_certificates=pki.ca.read_bytes(), require_client_auth=True)
