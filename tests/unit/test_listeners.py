"""A pair that a listener shows: judged, and the one that was judged."""

from pathlib import Path

import pytest
import trustme

from gateway import listeners
from gateway.front.listener import tls_context
from gateway.listeners import ServerTls
from gateway.settings import ListenerTls
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


def test_what_openssl_refuses_is_told_with_its_reason(tls: ListenerTls, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_settings: ListenerTls, *, http2: bool) -> object:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(listeners, "tls_context", gone)
    with pytest.raises(CertificateError, match="OpenSSL refuses it"):
        ServerTls(tls, http2=True)
