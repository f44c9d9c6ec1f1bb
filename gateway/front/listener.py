"""Listeners: sockets, and the TLS that browsers meet there.

Rules
- A socket stays as long as its address does; what serves it is replaced. So a change of TLS loses no connection, not
  even one that waits to be accepted.
- What can fail is done before: a service is prepared, and then only begun.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.errors import StartError
from gateway.seldom import Seldom
from gateway.settings import Address, ListenerTls

log = structlog.get_logger("gateway.front")

BACKLOG = 1024
IN_USE = "it is in use by another process (hint: choose another port, or stop that one)"
CLIENT_AUTH = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
HANDSHAKE_TIMEOUT = 5.0  # seconds; until it is over, a connection is not among `max_connections`
UNSENT = 128 * 1024  # bytes the kernel holds of what a slow reader has no room for; otherwise megabytes, and it tells
# of room only when a third of them has gone, so that a reader who moves would seem to stand still

ANY_V4, ANY_V6 = "0.0.0.0", "::"  # noqa: S104 - compared with, not bound to

Protocols = Callable[[], asyncio.BaseProtocol]
Which = Callable[[asyncio.BaseTransport], bool]  # of the connections that are there
Sockets = Sequence[socket.socket]


@contextlib.contextmanager
def naming(key: str, address: Address) -> Iterator[None]:
    """Say which key an address comes from when it cannot be bound: StartError in place of OSError."""
    try:
        yield
    except OSError as error:
        reason = IN_USE if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        raise StartError(f"{key}: cannot listen on {address}: {reason}") from None


def bind(address: Address, *, shared: bool = False) -> Sockets:
    """Sockets for what the address stands for (a name may be several), which do not listen yet. `shared`: others may
    bind the same. Raises OSError.
    """
    sockets: list[socket.socket] = []
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, kind, protocol, _, place in dict.fromkeys(found):
            sockets.append(one := socket.socket(family, kind, protocol))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what is accepted inherits it
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
            one.bind(place)
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


@dataclass(frozen=True, slots=True)
class Service:
    """A server for each socket of a listener."""

    secure: bool = False
    servers: list[asyncio.Server] = field(default_factory=list)

    def close(self) -> None:
        for server in self.servers:
            server.close()


class Bound:
    """The sockets of a listener, and what serves them."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = list(sockets)
        self._service = Service()
        self._places = [one.getsockname()[:2] for one in sockets]
        host, port = self._places[0]
        self._place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def url(self) -> str:
        """Scheme, host, and the port as it is; also when nothing is accepted any more."""
        return f"{'https' if self._service.secure else 'http'}://{self._place}"

    def took_in_plaintext(self, transport: asyncio.BaseTransport) -> bool:
        """Whether the connection came this way before there was TLS."""
        if transport.get_extra_info("sslcontext") is not None:
            return False
        here = transport.get_extra_info("sockname")
        return here is not None and any(_leads_to(place, here[:2]) for place in self._places)

    async def prepare(self, protocols: Protocols, context: ssl.SSLContext | None) -> Service:
        """What accepts connections like this, but does not yet. Raises OSError."""
        loop = asyncio.get_running_loop()
        secure = context is not None
        service = Service(secure)
        with contextlib.ExitStack() as unless_all:
            unless_all.callback(service.close)
            for one in self._sockets:
                server = await loop.create_server(
                    protocols,
                    sock=unless_all.enter_context(one.dup()),  # a server closes its own
                    ssl=context,
                    backlog=BACKLOG,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT if secure else None,
                    ssl_shutdown_timeout=2.0 if secure else None,
                    start_serving=False,
                )
                service.servers.append(server)
            unless_all.pop_all()
        return service

    async def serve(self, service: Service) -> None:
        """Accept connections, from now on by this; those that are there stay as they are.

        Raises OSError if the address is another's, which shows when the sockets begin to listen; once they do, nothing.
        """
        before, self._service = self._service, service
        before.close()  # who comes now waits at the socket
        for server in service.servers:
            await server.start_serving()

    def close(self) -> None:
        """Accept nothing more."""
        self._service.close()
        for one in self._sockets:
            one.close()


def _leads_to(place: tuple[str, int], here: tuple[str, int]) -> bool:
    """Whether a socket that is bound to `place` takes connections to `here`."""
    (host, port), (host_here, port_here) = place, here
    return port == port_here and host in (host_here, ANY_V6 if ":" in host_here else ANY_V4)


class _Context(ssl.SSLContext):
    """Counts what handshakes fail for. The reasons are words of OpenSSL, so there are only so many."""

    def __init__(self, *_of_new: object) -> None:
        self.failures: defaultdict[str, Seldom] = defaultdict(Seldom)


class _Handshake(ssl.SSLObject):
    """Tells of handshakes that fail, which event loops keep to themselves; whose they were, only those know."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            problem = getattr(error, "verify_message", None) or error.reason or "unknown"
            assert isinstance(self.context, _Context)
            if failures := self.context.failures[problem].count():
                log.info("handshake_failed", problem=problem, failures=failures)
            raise


def tls_context(settings: ListenerTls, *, http2: bool) -> ssl.SSLContext:
    """TLS for HTTP/2 and HTTP/1.1, or for that alone (ALPN), with client certificates as configured."""
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if settings.minimum_version == "TLSv1.3" else ssl.TLSVersion.TLSv1_2
    )
    context.sslobject_class = _Handshake
    context.load_cert_chain(settings.certificate, settings.private_key)
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    context.verify_mode = CLIENT_AUTH[settings.client_auth]
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
    return context
