"""The listeners of a gateway: bound once, and served by the configuration and the certificates of the moment."""

import asyncio
import ssl
from collections.abc import Callable, Collection
from pathlib import Path
from weakref import WeakSet

from gateway.check import misfits
from gateway.front.listener import HANDSHAKE_TIMEOUT, Bound, Protocols, Sockets, Which, tls_context
from gateway.reload import CertificateRenewal, watch
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
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return self._bound.url

    async def serve(self, settings: Listener, tls: ServerTls | None) -> None:
        """From now on like this."""
        if settings == self._settings and _same(tls, self.tls):
            return  # with another context browsers could not resume their sessions
        before, is_first = self.tls, self._settings is None
        self._settings, self.tls = settings, tls
        await self._bound.serve(self._protocols(settings), None if tls is None else tls.context)
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
            self._watching = lasting(watch(files, self.renewal.files_changed)) if files else None

    def _send_away(self, which: Which) -> None:
        """Who could not come in now is not to stay, nor who is still shaking hands as it was asked before."""
        self._dismiss(which)
        asyncio.get_running_loop().call_later(HANDSHAKE_TIMEOUT, self._dismiss, which)

    @staticmethod
    def _came_by(contexts: Collection[ssl.SSLContext]) -> Which:
        return lambda transport: transport.get_extra_info("sslcontext") in contexts

    def close(self) -> None:
        """Accept nothing more."""
        for task in (self._watching, self._serving):
            if task is not None:
                task.cancel()
        self._bound.close()

    def _renew(self) -> bool:
        """Read the files again; True: they had changed. Raises CertificateError."""
        settings = self._settings
        if settings is None or settings.tls is None:
            return False
        tls = ServerTls(settings.tls, http2=settings.http2)
        if _same(tls, self.tls):
            return False
        self._serving = lasting(self.serve(settings, tls))
        return True


def _same(one: ServerTls | None, other: ServerTls | None) -> bool:
    return one is other or (one is not None and other is not None and one.files == other.files)


def server_tls(settings: Listener) -> ServerTls | None:
    """Raises CertificateError."""
    return None if settings.tls is None else ServerTls(settings.tls, http2=settings.http2)
