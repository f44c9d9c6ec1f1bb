"""What a listener asks of clients: certificates and the names in them, and the version of HTTP."""

import contextlib
import ipaddress
import ssl
from asyncio import IncompleteReadError
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import DNSName, IPAddress, RFC822Name
from cryptography.x509 import UniformResourceIdentifier as Uri
from cryptography.x509.oid import NameOID

from tests.envoy.backend import Backend
from tests.envoy.proxied import ORIGIN, Proxied, document, path, plaintext, proxied, scripted, status
from tests.support.certificates import Authority, authority, leaf, write_pair
from tests.support.frames import take_apart
from tests.support.tokens import KeyWorld
from tests.support.wire import connect

PERMISSION_DENIED, UNAUTHENTICATED = 7, 16
REFUSED = (ssl.SSLError, ConnectionError, IncompleteReadError)  # by TLS: the alert may come after the handshake
IDENTITIES = ["spiffe://test/batch", "DNS:ops.test", "IP:192.0.2.7", "email:ops@ops.test"]
GOOD = Uri("spiffe://test/batch")


@dataclass(frozen=True)
class Door:
    """`to` has a listener that asks for certificates, and a plaintext one."""

    to: Proxied
    backend: Backend
    signer: Authority
    folder: Path

    def browser(self, *names: x509.GeneralName, of: str = "client", signer: Authority | None = None) -> ssl.SSLContext:
        """It shows a certificate with these names and the common name `of`."""
        context = self.stranger()
        pair = write_pair(self.folder, *certificate(signer or self.signer, of, *names), stem="client")
        context.load_cert_chain(*pair)
        return context

    def stranger(self) -> ssl.SSLContext:
        """It shows none."""
        return ssl.create_default_context(cadata=self.signer.pem.decode())

    async def status(self, context: ssl.SSLContext, *headers: tuple[str, str]) -> int:
        return status(await self.to.call(path("Ping"), b"", *headers, context=context))


def certificate(signer: Authority, of: str, *names: x509.GeneralName) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    key, now, hour = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC), timedelta(hours=1)
    builder = (
        x509.CertificateBuilder(signer.certificate.subject)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, of)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - hour)
        .not_valid_after(now + hour)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), key


@contextlib.asynccontextmanager
async def door(
    folder: Path, client_auth: str = "optional", *, keys: KeyWorld | None = None, **rest: object
) -> AsyncIterator[Door]:
    """`keys`: of an issuer whose tokens are believed, too. `rest`: of the section `authorization`."""
    signer = authority()
    (folder / "ca.pem").write_bytes(signer.pem)
    write_pair(folder, *leaf(signer, "localhost"), stem="server")
    tls = {"certificate": "server.pem", "private_key": "server.key", "client_ca": "ca.pem", "client_auth": client_auth}
    issuers = []
    if keys is not None:
        (folder / "keys.json").write_bytes(keys.jwks())
        issuers.append({"issuer": keys.issuer, "audiences": [keys.audience], "jwks": "keys.json"})
    rule = {"methods": [path("Ping")], "identities": IDENTITIES, "roles": ["orders.read"] if issuers else []}
    async with scripted(None) as (backend, [port]):
        settings = document(
            listeners=[{"bind": "127.0.0.1:0", "tls": tls}, {"bind": "127.0.0.1:0"}],
            auth={"public_methods": [], "issuers": issuers},
            authorization={"rules": [rule], **rest},
            upstreams=plaintext(port),
        )
        async with proxied(settings, folder) as to:
            yield Door(to, backend, signer, folder)


# -- certificates of clients -------------------------------------------------------------------------------------------


async def test_a_certificate_with_one_of_the_names_may_call(tmp_path: Path) -> None:
    async with door(tmp_path) as to:
        accepted: list[list[x509.GeneralName]] = [
            [GOOD],
            [Uri("spiffe://test/other"), GOOD],
            [DNSName("ops.test")],
            [Uri("spiffe://test/other"), DNSName("other.test"), DNSName("ops.test")],
            [IPAddress(ipaddress.ip_address("192.0.2.7"))],
            [RFC822Name("ops@ops.test")],
        ]
        for names in accepted:
            assert await to.status(to.browser(*names)) == 0, names


async def test_a_certificate_without_any_of_the_names_may_not(tmp_path: Path) -> None:
    async with door(tmp_path) as to:
        refused: list[tuple[list[x509.GeneralName], str]] = [
            ([Uri("spiffe://test/batch/more")], "client"),
            ([Uri("spiffe://test/batc")], "client"),
            ([Uri("spiffe://test/Batch")], "client"),
            ([DNSName("a.ops.test")], "client"),
            ([DNSName("spiffe://test/batch")], "client"),
            ([Uri("ops.test")], "client"),
            ([IPAddress(ipaddress.ip_address("192.0.2.8"))], "client"),
            ([RFC822Name("ops@test")], "client"),
            ([], "ops.test"),
            ([], "spiffe://test/batch"),
            ([DNSName("other.test")], "ops.test"),
        ]
        for names, of in refused:
            assert await to.status(to.browser(*names, of=of)) == PERMISSION_DENIED, (names, of)
        assert await to.status(to.stranger()) == PERMISSION_DENIED
        assert status(await to.to.call(path("Ping"), listener=1)) == PERMISSION_DENIED
        with pytest.raises(REFUSED):
            await to.status(to.browser(GOOD, signer=authority("foreign")))
    assert to.backend.arrivals == []


async def test_where_a_certificate_is_required(tmp_path: Path) -> None:
    async with door(tmp_path, "required") as to:
        assert await to.status(to.browser(GOOD)) == 0
        with pytest.raises(REFUSED):
            await to.status(to.stranger())
        with pytest.raises(REFUSED):
            await to.status(to.browser(GOOD, signer=authority("foreign")))
    assert len(to.backend.arrivals) == 1


async def test_what_nobody_has_verified_does_not_reach_the_backend_beside_a_certificate(tmp_path: Path) -> None:
    async with door(tmp_path) as to:
        for credentials in ("Bearer a.b.c", "Basic aHVudGVyMg==", "anything"):
            assert await to.status(to.browser(GOOD), ("authorization", credentials)) == UNAUTHENTICATED
    assert to.backend.arrivals == []


async def test_a_certificate_or_a_token(tmp_path: Path) -> None:
    keys = KeyWorld()
    good, poor = keys.token(), keys.token(keys.claims(scope="other"))
    async with door(tmp_path, keys=keys) as to:
        with_name, without = to.browser(GOOD), to.stranger()
        for context, credentials, expected in [
            (with_name, None, 0),
            (without, good, 0),
            (with_name, good, 0),
            (with_name, poor, 0),
            (without, poor, PERMISSION_DENIED),
            (without, None, PERMISSION_DENIED),
            (with_name, good[:-9] + b"AAAAAAAAA", UNAUTHENTICATED),
            (without, good[:-9] + b"AAAAAAAAA", UNAUTHENTICATED),
        ]:
            headers = [("authorization", f"Bearer {credentials.decode()}")] if credentials else []
            assert await to.status(context, *headers) == expected
        assert await to.status(with_name, ("authorization", "Basic aHVudGVyMg==")) == UNAUTHENTICATED
    assert len(to.backend.arrivals) == 4


async def test_a_shadow_lets_in_who_is_believed_and_nobody_else(tmp_path: Path) -> None:
    keys = KeyWorld()
    poor = keys.token(keys.claims(scope="other")).decode()
    async with door(tmp_path, keys=keys, shadow=True) as to:
        assert await to.status(to.stranger(), ("authorization", f"Bearer {poor}")) == 0
        assert await to.to.stat("http.listener_0.rbac.shadow.shadow_denied") == 1
        assert await to.status(to.browser(GOOD)) == 0
        assert await to.to.stat("http.listener_0.rbac.shadow.shadow_denied") == 1
        assert len(to.backend.arrivals) == 2
        assert await to.status(to.stranger()) in (PERMISSION_DENIED, UNAUTHENTICATED)
        assert await to.status(to.browser(DNSName("other.test"))) in (PERMISSION_DENIED, UNAUTHENTICATED)
    assert len(to.backend.arrivals) == 2


# -- versions of HTTP --------------------------------------------------------------------------------------------------


async def http2(
    port: int, context: ssl.SSLContext | None, target: str, kind: str = "application/grpc-web+proto"
) -> tuple[dict[str, str], bytes]:
    """A POST over HTTP/2 (RFC 9113): headers and body of the answer."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    sent = {":method": "POST", ":path": target, ":scheme": "https", ":authority": "localhost"}
    sent |= {"content-type": kind, "origin": ORIGIN}
    connection.send_headers(1, list(sent.items()), end_stream=True)
    headers: dict[str, str] = {}
    body = b""
    async with connect(port, context=context) as wire:
        while True:
            await wire.send(connection.data_to_send())
            if not (data := await wire.reader.read(65536)):
                raise ConnectionError("closed without an answer")
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    headers = {str(name): str(value) for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return headers, body


@contextlib.asynccontextmanager
async def speaking(folder: Path, *, http2_too: bool) -> AsyncIterator[tuple[Proxied, ssl.SSLContext]]:
    """A TLS listener and a plaintext one; and a browser that would rather speak HTTP/2."""
    signer = authority()
    write_pair(folder, *leaf(signer, "localhost"), stem="server")
    tls = {"certificate": "server.pem", "private_key": "server.key"}
    listeners = [{"bind": "127.0.0.1:0", "tls": tls, "http2": http2_too}, {"bind": "127.0.0.1:0", "http2": http2_too}]
    context = ssl.create_default_context(cadata=signer.pem.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with (
        scripted(None) as (_, [port]),
        proxied(document(listeners=listeners, upstreams=plaintext(port)), folder) as to,
    ):
        yield to, context


async def chosen(to: Proxied, context: ssl.SSLContext) -> str | None:
    async with connect(to.envoy.ports[0], context=context) as wire:
        selected: str | None = wire.writer.get_extra_info("ssl_object").selected_alpn_protocol()
        return selected


async def test_http2_where_it_is_on(tmp_path: Path) -> None:
    async with speaking(tmp_path, http2_too=True) as (to, context):
        assert await chosen(to, context) == "h2"
        for port, how in zip(to.envoy.ports, (context, None), strict=True):
            headers, body = await http2(port, how, path("Ping"))
            messages, ended, _ = take_apart(body)
            assert (headers[":status"], headers["content-type"]) == ("200", "application/grpc-web+proto")
            assert headers["access-control-allow-origin"] == ORIGIN
            assert (messages, ended.code) == ([b"pong"], 0)
        assert status(await to.call(path("Ping"), listener=1)) == 0  # HTTP/1.1 goes on beside it


async def test_native_grpc_is_no_call_to_it(tmp_path: Path) -> None:
    """Its routes know gRPC-Web alone; the gateway takes native calls, too."""
    async with speaking(tmp_path, http2_too=True) as (to, context):
        headers, _ = await http2(to.envoy.ports[0], context, path("Ping"), "application/grpc")
        assert (headers[":status"], headers["grpc-status"]) == ("200", "2")


async def test_http1_where_it_is_not(tmp_path: Path) -> None:
    async with speaking(tmp_path, http2_too=False) as (to, context):
        assert await chosen(to, context) == "http/1.1"
        assert status(await to.call(path("Ping"), context=context)) == 0
        with pytest.raises((h2.exceptions.ProtocolError, ConnectionError)):
            await http2(to.envoy.ports[1], None, path("Ping"))
