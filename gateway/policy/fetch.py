"""HTTP to an authorization server: metadata, key sets, introspection.

Rule: a small answer, soon, from the very URL that was asked, or none. https, or http to this machine; no redirects, no
proxies from the environment, no cookies; `TIMEOUT` for all of it and `MAX_BODY` of it, uncompressed, so that a limit on
what arrives is a limit on what it becomes. Every error of the client library ends here as a `FetchError`.
"""

import os
import ssl
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import aiohttp
import structlog

from gateway.seldom import Seldom
from gateway.settings.url import is_loopback

TIMEOUT = 2.0  # seconds, from the name look-up to the last byte
MAX_BODY = 256 * 1024
UNTRUSTED = range(18, 22)  # X509_V_ERR_: self-signed, or of an authority that is not known here

log = structlog.get_logger("gateway.policy")


class FetchError(Exception):
    """No answer. The text says why, for the log; no secret is in it. `hint`: what to do, where that is known."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Fetcher:
    """One client session for all; made at the first request when none is given, and then closed by `close`."""

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        self._given = session
        self._own: aiohttp.ClientSession | None = None

    async def get(self, url: str) -> bytes:
        """The body of a 200. Raises FetchError."""
        return await self._body("GET", url, {}, None)

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
        """The body of the 200 that answers a form. Raises FetchError."""
        return await self._body("POST", url, headers, form)

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()

    async def _body(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> bytes:
        if not is_allowed(url):
            raise FetchError("the URL is neither https nor on this machine")
        try:
            async with self._session().request(
                method,
                url,
                data=form,
                headers={"accept": "application/json", "accept-encoding": "identity", **headers},
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            ) as response:
                return await _read(response)
        except FetchError:
            raise
        except TimeoutError:
            raise FetchError(f"no answer within {TIMEOUT:g} s") from None
        except Exception as error:  # the library's own errors, OSError, ValueError, RuntimeError of a closed session
            raise FetchError(f"no answer: {_reason(error)}", _hint(error)) from None

    def _session(self) -> aiohttp.ClientSession:
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._own


def _reason(error: Exception) -> str:
    """In the words of the system or of OpenSSL; a library's own may hold anything."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        return f"its certificate is refused: {getattr(cause, 'verify_message', None) or type(cause).__name__}"
    number = getattr(error, "errno", None)
    if isinstance(error, aiohttp.ClientConnectorDNSError) and number is not None:
        return "its name cannot be resolved"
    if isinstance(error, OSError) and number is not None and number > 0:
        return os.strerror(number)
    return type(error).__name__


def _hint(error: Exception) -> str:
    cause = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else None
    if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in UNTRUSTED:
        return "if its authority is private, name its file in the environment variable SSL_CERT_FILE"
    return ""


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.status != 200:
        raise FetchError(f"HTTP status {response.status}")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise FetchError(f"more than {MAX_BODY // 1024} KiB")
    return bytes(body)


def is_allowed(url: str) -> bool:
    """Whether nobody on the way can read or change the answer: https, or http to a loopback address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


class FailureLog:
    """Warnings about one thing that fails again and again."""

    def __init__(self, event: str, clock: Callable[[], float] = time.monotonic, **fields: str) -> None:
        self._event = event
        self._fields = fields
        self._seldom = Seldom(clock)

    def add(self, reason: str) -> None:
        if failures := self._seldom.count():
            log.warning(self._event, reason=reason, failures=failures, **self._fields)
