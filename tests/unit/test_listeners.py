"""A pair that a listener shows: judged, and the one that was judged."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway import listeners
from gateway.errors import StartError
from gateway.front.listener import Bound, Protocols, Service, bind, tls_context
from gateway.listeners import KeptListener, ServerTls, prepare
from gateway.settings import Address, Listener, ListenerTls
from gateway.upstream.tls import CertificateError


@pytest.fixture
def tls(tmp_path: Path) -> ListenerTls:
    files = ListenerTls(certificate=tmp_path / "server.pem", private_key=tmp_path / "server.pem")
    issue(files)
    return files


def issue(files: ListenerTls) -> None:
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(files.certificate))


def test_the_same_files_are_the_same_and_renewed_ones_are_not(tls: ListenerTls) -> None:
    before = ServerTls(tls, http2=True)
    assert ServerTls(tls, http2=True).files == before.files
    issue(tls)
    assert ServerTls(tls, http2=True).files != before.files


def test_files_that_change_while_they_are_read_are_not_used(tls: ListenerTls, monkeypatch: pytest.MonkeyPatch) -> None:
    def renewed_meanwhile(settings: ListenerTls, *, http2: bool) -> object:
        issue(settings)
        return tls_context(settings, http2=http2)

    monkeypatch.setattr(listeners, "tls_context", renewed_meanwhile)
    with pytest.raises(CertificateError, match="changed while it was read"):
        ServerTls(tls, http2=True)


def test_a_renewed_certificate_that_no_browser_takes_is_not_used(tls: ListenerTls) -> None:
    pair = trustme.CA().issue_cert(common_name="localhost")
    pair.private_key_and_cert_chain_pem.write_to_path(str(tls.certificate))
    with pytest.raises(CertificateError, match="names no host as SAN"):
        ServerTls(tls, http2=True)


def spoken(_settings: Listener) -> Protocols:
    return asyncio.Protocol


async def test_a_listener_is_what_it_was_until_it_is_served_anew(
    tls: ListenerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = Address("127.0.0.1", 0)
    listener = KeptListener("test", bind(address), spoken, lambda _which: None)
    plaintext, secure = Listener(bind=address), Listener(bind=address, tls=tls)
    await listener.serve(plaintext, None)
    with monkeypatch.context() as short:
        short.setattr(Bound, "prepare", used_up)
        with pytest.raises(OSError, match="Too many open files"):
            await listener.serve(secure, ServerTls(tls, http2=True))
    prepared = await listener.prepare(secure, ServerTls(tls, http2=True))
    assert prepared is not None
    assert (listener.tls, listener.url[:7]) == (None, "http://")
    await listener.use(prepared)
    assert (listener.tls, listener.url[:8]) == (prepared.tls, "https://")
    listener.close()


async def used_up(*_arguments: object) -> Service:
    raise OSError(errno.EMFILE, "Too many open files")


async def test_of_several_listeners_all_are_prepared_or_none(tls: ListenerTls, monkeypatch: pytest.MonkeyPatch) -> None:
    address = Address("127.0.0.1", 0)
    kept = [KeptListener(f"listeners[{index}]", bind(address), spoken, lambda _which: None) for index in range(2)]
    sections = [Listener(bind=address, tls=tls)] * 2
    original, services = Bound.prepare, []

    async def once(*arguments: Any) -> Service:
        if services:
            return await used_up()
        services.append(await original(*arguments))
        return services[0]

    monkeypatch.setattr(Bound, "prepare", once)
    with pytest.raises(StartError, match=r"listeners\[1\].bind: cannot listen on 127.0.0.1:0: Too many open files"):
        await prepare(kept, sections)
    assert [server.sockets for server in services[0].servers] == [[]]  # closed
    assert [listener.tls for listener in kept] == [None, None]
    for listener in kept:
        listener.close()


async def test_what_serves_is_made_anew_only_for_another_certificate_or_other_settings(tls: ListenerTls) -> None:
    served = []

    def protocols(settings: Listener) -> Protocols:
        served.append(settings)
        return asyncio.Protocol

    listener = KeptListener("test", bind(Address("127.0.0.1", 0)), protocols, lambda _contexts: None)
    settings = Listener(bind=Address("127.0.0.1", 0), tls=tls)
    for _ in range(2):
        await listener.serve(settings, ServerTls(tls, http2=True))
    assert served == [settings]
    issue(tls)
    await listener.serve(settings, ServerTls(tls, http2=True))
    http1 = settings.model_copy(update={"http2": False})
    await listener.serve(http1, ServerTls(tls, http2=False))
    assert served == [settings, settings, http1]
    listener.close()


def test_what_openssl_refuses_is_told_with_its_reason(tls: ListenerTls, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_settings: ListenerTls, *, http2: bool) -> object:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(listeners, "tls_context", gone)
    with pytest.raises(CertificateError, match="OpenSSL refuses it"):
        ServerTls(tls, http2=True)
