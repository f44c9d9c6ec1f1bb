"""From files to a TLS context: what is proved, and who is believed."""

import ssl
from pathlib import Path

import pytest

from gateway.settings import UpstreamTls
from gateway.upstream.credentials import Credentials, client_context, load_credentials
from gateway.upstream.tls import CertificateError
from tests.support.backend_http2 import Papers, papers
from tests.unit.upstream.caller import settings


@pytest.fixture
def files(tmp_path: Path) -> Papers:
    return papers(tmp_path)


def loaded(files: Papers, **changes: object) -> tuple[Credentials, UpstreamTls]:
    section = settings("a.test:1", tls=files.tls(**changes))
    assert section.tls is not None
    found = load_credentials(section)
    assert found is not None
    return found, section.tls


def test_plaintext_has_none() -> None:
    assert load_credentials(settings("a.test:1")) is None


def test_a_pair_and_an_authority(files: Papers) -> None:
    found, _ = loaded(files)
    assert found.trust is not None
    assert found.trust.certificates == files.ca.read_bytes()
    assert found.identity is not None
    assert found.identity.certificate == files.gateway[0].read_bytes()
    assert "PRIVATE" not in repr(found)
    assert found == loaded(files)[0]
    files.issue("gateway.test", "gateway")
    assert found != loaded(files)[0]


def test_without_a_pair_and_without_an_authority(files: Papers) -> None:
    found, tls = loaded(files, certificate=None, private_key=None, ca=None)
    assert found == Credentials(None, None)
    assert client_context(found, tls).verify_mode is ssl.CERT_REQUIRED


def test_the_context_checks_chain_and_name_and_speaks_http2_only(files: Papers) -> None:
    context = client_context(*loaded(files))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    (believed,) = context.get_ca_certs()
    assert int(str(believed["serialNumber"]), 16) == files.signer.certificate.serial_number


def test_an_authority_with_a_word_beside_it(files: Papers) -> None:
    files.ca.write_bytes("# Schlüssel der Werkstatt\n".encode() + files.signer.pem)
    assert len(client_context(*loaded(files)).get_ca_certs()) == 1


@pytest.mark.parametrize("file", ["ca", "certificate", "private_key"])
def test_a_file_that_is_bad_is_named(files: Papers, file: str) -> None:
    bad = files.folder / "bad.pem"
    bad.write_text("-----BEGIN NONSENSE-----\n")
    with pytest.raises(CertificateError) as caught:
        loaded(files, **{file: bad})
    assert caught.value.field == file
    assert "bad.pem" in caught.value.message


def test_a_pair_that_changes_while_it_is_read_is_not_used(files: Papers) -> None:
    found, tls = loaded(files)
    files.issue("gateway.test", "gateway")
    with pytest.raises(CertificateError, match="changed while it was read"):
        client_context(found, tls)


def test_a_pair_that_vanishes_while_it_is_read_is_not_used(files: Papers) -> None:
    found, tls = loaded(files)
    files.gateway[0].unlink()
    with pytest.raises(CertificateError, match="OpenSSL refuses"):
        client_context(found, tls)
