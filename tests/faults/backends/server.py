"""A gRPC backend in a process of its own, as people run it: grpcio, health, and a graceful stop on SIGTERM.

    python -m tests.faults.backends.server PORT GRACE NOTICE

Says `ready PORT` on its standard output. `/test.v1.Test/*` gives each request back, 2 ms later. When it stops it says
so to whoever asks for its health, and goes on for NOTICE seconds. Calls that arrive for MOMENT seconds then are
cancelled, as grpc-core does while it stops, only that this is over in an instant. Those before have GRACE seconds.
"""

import asyncio
import signal
import sys
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc

SERVICE = "/test.v1.Test/"
MOMENT = 0.2  # seconds


class Echo(grpc.GenericRpcHandler):
    """Every method of the service. A reply leaves whole: one that has begun cannot be had elsewhere."""

    stopping = False

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if not handler_call_details.method.startswith(SERVICE):
            return None

        async def run(request: bytes, context: Any) -> bytes:
            if self.stopping:
                await context.abort(grpc.StatusCode.CANCELLED)
            await asyncio.sleep(0.002)
            return request

        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(run)
        return handler


async def main(port: int, grace: float, notice: float) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    echo = Echo()
    server.add_generic_rpc_handlers((echo,))
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    sys.stdout.write(f"ready {port}\n")
    sys.stdout.flush()
    await stopped.wait()
    await servicer.enter_graceful_shutdown()
    await asyncio.sleep(notice)
    echo.stopping = True
    await asyncio.sleep(MOMENT)
    await server.stop(grace)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
