"""Certificates and keys, judged before use: what is wrong, in which file, and what to do."""

from pathlib import Path

import pytest

from gateway.upstream.tls import CertificateError, load_identity, load_trust
from tests.support.certificates import DAY, authority, key_pem, leaf, write_pair

CA = authority()


def refused(certificate: Path, key: Path) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        load_identity(certificate, key)
    return caught.value


def test_a_good_pair(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, *leaf(CA, "gateway.internal"))
    identity = load_identity(certificate, key)
    assert identity.certificate == certificate.read_bytes()
    assert "PRIVATE" not in repr(identity)


def test_a_chain_is_checked_link_by_link(tmp_path: Path) -> None:
    pem, key = leaf(CA, "gateway.internal")
    write_pair(tmp_path, pem + CA.pem, key)
    load_identity(tmp_path / "pair.pem", tmp_path / "pair.key")
    write_pair(tmp_path, pem + authority("somebody else").pem, key)
    error = refused(tmp_path / "pair.pem", tmp_path / "pair.key")
    assert error.field == "certificate"
    assert "was not issued by CN=somebody else" in error.message


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    certificate, _ = write_pair(tmp_path, *leaf(CA, "gateway.internal"))
    _, other = write_pair(tmp_path, *leaf(CA, "gateway.internal"), stem="other")
    error = refused(certificate, other)
    assert error.field == "private_key"
    assert "is not the key of" in error.message


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [(-2 * DAY, -DAY, "expired on"), (DAY, 2 * DAY, "is not valid before")],
)
def test_dates(tmp_path: Path, start: object, end: object, text: str) -> None:
    certificate, key = write_pair(tmp_path, *leaf(CA, "gateway.internal", start=start, end=end))  # type: ignore[arg-type]
    error = refused(certificate, key)
    assert error.field == "certificate"
    assert text in error.message


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    pem, key = leaf(CA, "gateway.internal")
    certificate, key_file = write_pair(tmp_path, pem, key)
    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"\x00\xff not PEM")
    locked = tmp_path / "locked.key"
    locked.write_bytes(key_pem(key, b"secret"))
    assert "no such file" in refused(tmp_path / "none.pem", key_file).message
    assert "no such file" in refused(certificate, tmp_path / "none.key").message
    assert "no certificate in PEM" in refused(nonsense, key_file).message
    assert "looks like a private key" in str(refused(key_file, key_file).hint)
    assert "no private key in PEM" in refused(certificate, nonsense).message
    assert "no private key in PEM" in refused(certificate, certificate).message
    assert "is encrypted" in refused(certificate, locked).message
    assert "cannot read" in refused(tmp_path, key_file).message


def test_a_bundle_of_authorities_needs_one_that_is_valid(tmp_path: Path) -> None:
    old = authority("old", days=-1)
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(old.pem + CA.pem)
    load_trust("ca", bundle)
    bundle.write_bytes(old.pem)
    with pytest.raises(CertificateError, match="expired on"):
        load_trust("ca", bundle)
