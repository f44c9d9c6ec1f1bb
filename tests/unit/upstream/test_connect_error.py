"""Why a backend could not be connected to, and the hint that mends it."""

import errno
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.upstream.backend_link import dial
from gateway.upstream.connect_error import ConnectError, connect_error
from gateway.upstream.resolver import Address, parse, resolve
from tests.support.backend_http2 import Papers, backend, papers
from tests.unit.upstream.linking import Keeper, plain, secured


@pytest.fixture
def files(tmp_path: Path) -> Papers:
    return papers(tmp_path)


async def told(files: Papers, context: ssl.SSLContext | None, **changes: Any) -> ConnectError:
    async with backend(context=context) as there:
        with pytest.raises(ConnectError) as caught:
            await dial(Address(there.host, there.port), secured(files, **changes), Keeper())
        there.connections.clear()  # what h2 says of a TLS handshake is not the gateway's breach of HTTP/2
    return caught.value


async def test_an_authority_that_is_not_known(files: Papers) -> None:
    error = await told(files, files.context(), ca=None)
    assert error.hint == "tls.ca must hold who signed the backend's certificate"


async def test_another_name(files: Papers) -> None:
    error = await told(files, files.context(), server_name="other.test")
    assert "other.test" in str(error)
    assert error.hint == "tls.server_name must be a name (SAN) of the backend's certificate"


async def test_a_client_certificate_that_is_missing(files: Papers) -> None:
    error = await told(files, files.context(), certificate=None, private_key=None)
    assert str(error) == "the backend closed the connection at once: does it accept the gateway's certificate?"
    assert error.hint == ""


async def test_a_backend_without_http2(files: Papers) -> None:
    assert (await told(files, files.context(alpn=()))).hint == "is it a gRPC backend?"


async def test_nobody_listens(files: Papers, tmp_path: Path) -> None:
    async with backend() as there:
        there.stop()
        for address in (Address(there.host, there.port), Address("", 0, str(tmp_path / "none"))):
            with pytest.raises(ConnectError) as caught:
                await dial(address, plain(), Keeper())
            assert caught.value.hint == "is a backend listening there?"


async def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(socket.gaierror) as caught:
        await resolve(parse("never.invalid:1"))
    error = connect_error(caught.value)
    assert str(error) == caught.value.strerror
    assert error.hint == "is the name right, and known on this machine?"


def handshake(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] of OpenSSL")
    error.reason = reason
    return error


def refused(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (
            handshake("WRONG_VERSION_NUMBER"),
            "TLS failed: WRONG_VERSION_NUMBER",
            "does the backend speak TLS? if not, plaintext: true in place of tls",
        ),
        (
            handshake("TLSV1_ALERT_UNKNOWN_CA"),
            "TLS failed: TLSV1_ALERT_UNKNOWN_CA",
            "does the backend accept tls.certificate?",
        ),
        (
            handshake("SSLV3_ALERT_BAD_CERTIFICATE"),
            "TLS failed: SSLV3_ALERT_BAD_CERTIFICATE",
            "does the backend accept tls.certificate?",
        ),
        (handshake("NO_SHARED_CIPHER"), "TLS failed: NO_SHARED_CIPHER", ""),
        (
            refused(10, "certificate has expired"),
            "the backend's certificate is refused: certificate has expired",
            "renew it; or is a clock wrong?",
        ),
        (refused(24, "invalid CA certificate"), "the backend's certificate is refused: invalid CA certificate", ""),
        (OSError(errno.EHOSTUNREACH, "asyncio's own words"), "No route to host", ""),
        (ValueError("no name"), "no name", ""),
        (ValueError(), "ValueError", ""),
    ],
)
def test_other_causes(error: Exception, message: str, hint: str) -> None:
    found = connect_error(error)
    assert (str(found), found.hint) == (message, hint)
