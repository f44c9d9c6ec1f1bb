"""The listeners of a gateway: bound once, and served by the configuration and the certificates of the moment."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

from gateway.check import misfits
from gateway.front.listener import (
    HANDSHAKE_TIMEOUT,
    Bound,
    Protocols,
    Service,
    Sockets,
    Which,
    naming,
    tls_context,
)
from gateway.reload import CertificateRenewal
from gateway.settings import Listener, ListenerTls
from gateway.tasks import lasting
from gateway.upstream.tls import CertificateError, Identity, Trust, load_identity, load_trust, refused_by_openssl


class ServerTls:
    """What a listener shows: read from its files and judged. Raises CertificateError."""

    def __init__(self, settings: ListenerTls, *, http2: bool) -> None:
        self.files = _read(settings)
        try:
            self.context = tls_context(settings, http2=http2)
        except (ssl.SSLError, OSError) as error:
            raise refused_by_openssl(error) from None
        if _read(settings) != self.files:  # OpenSSL has read them itself
            raise CertificateError("certificate", f"{settings.certificate} changed while it was read")

    def asks_as(self, other: "ServerTls") -> bool:
        """Whether who has been let in by the one would be by the other."""
        return self.files[1] == other.files[1] and all(
            getattr(self.context, name) == getattr(other.context, name) for name in ("verify_mode", "minimum_version")
        )

    @property
    def expires_at(self) -> float:
        """Seconds since the epoch."""
        return self.files[0].expires_at


def _read(settings: ListenerTls) -> tuple[Identity, Trust | None]:
    trust = None if settings.client_ca is None else load_trust("client_ca", settings.client_ca)
    identity = load_identity(settings.certificate, settings.private_key)
    for misfit in misfits(settings.certificate, identity):
        raise misfit
    return identity, trust


class KeptListener:
    """One of them, and the watch over its certificate files."""

    def __init__(
        self,
        name: str,
        sockets: Sockets,
        protocols: Callable[[Listener], Protocols],
        dismiss: Callable[[Which], None],
    ) -> None:
        """`protocols`: what connections of such a listener are spoken with. `dismiss`: lets some finish what they are
        at, and go.
        """
        self.name = name
        self.tls: ServerTls | None = None
        self.renewal = CertificateRenewal(self._renew, listener=name)
        self._bound = Bound(sockets)
        self._protocols = protocols
        self._dismiss = dismiss
        self._contexts: WeakSet[ssl.SSLContext] = WeakSet()  # by which connections that are there may have been let in
        self._settings: Listener | None = None
        self._files: tuple[Path, ...] = ()
        self._watching: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return self._bound.url

    async def prepare(self, settings: Listener, tls: ServerTls | None) -> "Prepared | None":
        """To be served like this; None: it is. Raises OSError."""
        if settings == self._settings and _same(tls, self.tls):
            return None  # with another context browsers could not resume their sessions
        service = await self._bound.prepare(self._protocols(settings), None if tls is None else tls.context)
        return Prepared(self, settings, tls, service)

    async def serve(self, settings: Listener, tls: ServerTls | None) -> bool:
        """From now on like this; False: as before. Raises OSError."""
        prepared = await self.prepare(settings, tls)
        if prepared is None:
            return False
        await self.use(prepared)
        return True

    async def use(self, prepared: "Prepared") -> None:
        """From now on. Raises OSError, but only when it is the first (Bound.serve)."""
        settings, tls = prepared.settings, prepared.tls
        before, is_first = self.tls, self._settings is None
        self._settings, self.tls = settings, tls
        if tls is not None:
            if before is not None and not tls.asks_as(before):
                self._send_away(self._came_by(tuple(self._contexts)))
            elif before is None and not is_first:
                self._send_away(self._bound.took_in_plaintext)
            self._contexts.add(tls.context)
        files = () if settings.tls is None else settings.tls.files
        if files != self._files:
            self._files = files
            if self._watching is not None:
                self._watching.cancel()
            self._watching = lasting(self.renewal.follow(files)) if files else None
        await self._bound.serve(prepared.service)  # last: others may run meanwhile, and find all of a piece

    def _send_away(self, which: Which) -> None:
        """Who could not come in now is not to stay, nor who is still shaking hands as it was asked before."""
        self._dismiss(which)
        asyncio.get_running_loop().call_later(HANDSHAKE_TIMEOUT, self._dismiss, which)

    @staticmethod
    def _came_by(contexts: Collection[ssl.SSLContext]) -> Which:
        return lambda transport: transport.get_extra_info("sslcontext") in contexts

    def close(self) -> None:
        """Accept nothing more."""
        if self._watching is not None:
            self._watching.cancel()
        self._bound.close()

    async def _renew(self) -> bool:
        """Read the files again, and show what they hold; True: they had changed. Raises CertificateError."""
        assert self._settings is not None
        tls = server_tls(self._settings)
        try:
            return await self.serve(self._settings, tls)
        except OSError as error:
            raise CertificateError("certificate", f"it cannot be shown: {error.strerror or error}") from None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A listener as it is to be; it accepts nothing yet."""

    listener: KeptListener
    settings: Listener
    tls: ServerTls | None
    service: Service


async def prepare(listeners: Sequence[KeptListener], sections: Sequence[Listener]) -> list[Prepared]:
    """Those that are to be served in another way. Raises CertificateError, StartError; then there is none."""
    all_prepared: list[Prepared] = []
    with contextlib.ExitStack() as unless_all:
        for listener, settings in zip(listeners, sections, strict=True):
            with naming(f"{listener.name}.bind", settings.bind):
                prepared = await listener.prepare(settings, server_tls(settings))
            if prepared is not None:
                unless_all.callback(prepared.service.close)
                all_prepared.append(prepared)
        unless_all.pop_all()
    return all_prepared


def _same(one: ServerTls | None, other: ServerTls | None) -> bool:
    return one is other or (one is not None and other is not None and one.files == other.files)


def server_tls(settings: Listener) -> ServerTls | None:
    """Raises CertificateError."""
    return None if settings.tls is None else ServerTls(settings.tls, http2=settings.http2)
