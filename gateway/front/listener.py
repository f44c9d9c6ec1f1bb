"""Listeners: sockets, and the TLS that browsers meet there."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from gateway.settings import Listener, ListenerTls

BACKLOG = 1024
CLIENT_AUTH = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
HANDSHAKE_TIMEOUT = 5.0  # seconds; until it is over, a connection is not among `max_connections`
UNSENT = 128 * 1024  # bytes the kernel holds of what a slow reader has no room for; otherwise megabytes, and it tells
# of room only when a third of them has gone, so that a reader who moves would seem to stand still


@dataclass(frozen=True, slots=True)
class Bound:
    """A listener that accepts connections."""

    server: asyncio.Server
    url: str  # scheme, host, and the port as it is


async def listen(settings: Listener, connection: Callable[[], asyncio.BaseProtocol]) -> Bound:
    """Bind and accept. Raises OSError (the address), ssl.SSLError (files that OpenSSL refuses)."""
    loop = asyncio.get_running_loop()
    context = None if settings.tls is None else tls_context(settings.tls, http2=settings.http2)
    server = await loop.create_server(
        connection,
        settings.bind.host,
        settings.bind.port,
        ssl=context,
        backlog=BACKLOG,
        ssl_handshake_timeout=None if context is None else HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout=None if context is None else 2.0,
    )
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        for listening in server.sockets:  # what is accepted inherits it
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    host, port = server.sockets[0].getsockname()[:2]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Bound(server, f"{'http' if context is None else 'https'}://{place}")


def tls_context(settings: ListenerTls, *, http2: bool) -> ssl.SSLContext:
    """TLS for HTTP/2 and HTTP/1.1, or for that alone (ALPN), with client certificates as configured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if settings.minimum_version == "TLSv1.3" else ssl.TLSVersion.TLSv1_2
    )
    context.load_cert_chain(settings.certificate, settings.private_key)
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    context.verify_mode = CLIENT_AUTH[settings.client_auth]
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
    return context
