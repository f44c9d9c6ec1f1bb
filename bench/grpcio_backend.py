"""A gRPC backend in a process of its own: the demo's service, and what nghttpd serves. Prints its port.

python -m bench.grpcio_backend CA CERTIFICATE PRIVATE_KEY
"""

import asyncio
import sys
from pathlib import Path

import grpc
import grpc.aio

from bench.world import LARGE, LARGE_MESSAGE, SERVICE, SMALL, SMALL_MESSAGE
from gateway.demo.pb import demo_pb2_grpc
from gateway.demo.service import DemoService


async def serve(ca: bytes, certificate: bytes, private_key: bytes) -> None:
    """Until it is ended by a signal. All three are PEM."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    demo_pb2_grpc.add_DemoServicer_to_server(DemoService(), server)  # type: ignore[no-untyped-call]
    answers = {SMALL: _answer(SMALL_MESSAGE), LARGE: _answer(LARGE_MESSAGE)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, answers),))
    pair = (private_key, certificate)
    credentials = grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def _answer(message: bytes) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """A unary method that always answers with `message`."""

    async def answer(_request: bytes, _context: object) -> bytes:
        return message

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    return handler


if __name__ == "__main__":
    asyncio.run(serve(*(Path(name).read_bytes() for name in sys.argv[1:])))
