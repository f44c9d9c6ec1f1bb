"""A backend in a process of its own: the demo's service behind mutual TLS and tokens, under two names.

python -m soak.backend FOLDER PORT ISSUER

Rule: it says twice a second, in a line of JSON, what it has: its port, the calls that it has had by service, those that
are open. SIGTERM: it takes its leave, and ends with its last call; who kills it does not ask.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

from gateway.demo.backend import OPTIONS, Ledger
from gateway.demo.interceptors import HEALTH, IdentityInterceptor, JwtVerifier, TokenInterceptor
from gateway.demo.pb import demo_pb2_grpc
from gateway.demo.service import DemoService
from soak.issuer import AUDIENCE

SERVICE = "demo.v1.Demo"
ALIAS = "soak.v1.Demo"  # the same under another name: a gateway routes by service, and there shall be two upstreams
GATEWAY = "gateway.demo.internal"
NAME = "backend.demo.internal"
GRACE = 20.0  # seconds for calls that are open at the end: longer than any that ends by itself
LEAVE = 1.0  # seconds between "not serving" and the end of the listener: grpc cancels calls that arrive while it stops
SAY_EVERY = 0.5  # seconds


class CallLedger(Ledger):
    """Of calls; health checks last as long as connections do, and are none."""

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method in HEALTH:
            return await continuation(handler_call_details)
        return await super().intercept_service(continuation, handler_call_details)


class _TwoNames:
    """A server, for generated code that registers a service with it."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, _service: str, handlers: Any) -> None:
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ALIAS, handlers),))


async def serve(folder: Path, port: int, issuer: str) -> None:
    """Until SIGTERM. Raises RuntimeError when the port is taken."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is for whoever started it
    ledger = CallLedger()
    verify = JwtVerifier(folder / "jwks.json", issuer=issuer, audience=AUDIENCE)
    interceptors = [ledger, IdentityInterceptor(f"DNS:{GATEWAY}"), TokenInterceptor(verify)]
    server = grpc.aio.server(interceptors=interceptors, options=OPTIONS)
    demo_pb2_grpc.add_DemoServicer_to_server(DemoService(), _TwoNames(server))
    checked = health.aio.HealthServicer()
    await checked.set("", HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checked, server)
    tls = folder / "tls"
    pair = ((tls / "backend.key").read_bytes(), (tls / "backend.pem").read_bytes())
    credentials = grpc.ssl_server_credentials([pair], (tls / "ca.pem").read_bytes(), require_client_auth=True)
    port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    saying = asyncio.create_task(_say(port, ledger))
    await stop.wait()
    await checked.enter_graceful_shutdown()
    await asyncio.sleep(LEAVE)
    await server.stop(GRACE)
    saying.cancel()


async def _say(port: int, ledger: Ledger) -> None:
    while True:
        calls: Counter[str] = Counter()
        for path, count in ledger.calls.items():
            calls[path.split("/")[1]] += count
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"port": port, "calls": calls, "open": ledger.open}), flush=True)
        await asyncio.sleep(SAY_EVERY)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
