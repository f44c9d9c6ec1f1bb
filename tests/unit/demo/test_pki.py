import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.demo.pki import Pair, Pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(pair: Pair) -> set[str]:
    alternative = certificate(pair.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in alternative}


def test_the_directory_holds_these_files_and_not_the_authoritys_key(pki: Pki) -> None:
    pairs = ("backend", "gateway", "server", "stranger")
    assert {path.name for path in pki.directory.iterdir()} == {
        "ca.pem",
        *(f"{name}.{kind}" for name in pairs for kind in ("pem", "key")),
    }


def test_private_keys_are_for_their_owner_only(pki: Pki) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in pki.directory.glob("*.key")}
    assert modes == dict.fromkeys(modes, 0o600)


def test_each_certificate_names_its_owner(pki: Pki) -> None:
    assert names(pki.server) == {"localhost", str(ip_address("127.0.0.1")), str(ip_address("::1"))}
    assert names(pki.backend) == {"backend.demo.internal", "localhost"}
    assert names(pki.gateway) == {"gateway.demo.internal"}
    assert names(pki.stranger) == {"stranger.demo.internal"}


@pytest.mark.parametrize("name", ["server", "backend", "gateway", "stranger"])
def test_pairs_match_and_come_from_the_authority(pki: Pki, name: str) -> None:
    pair: Pair = getattr(pki, name)
    leaf = certificate(pair.certificate)
    leaf.verify_directly_issued_by(certificate(pki.ca))
    assert load_pem_private_key(pair.private_key.read_bytes(), None).public_key() == leaf.public_key()
    now = datetime.now(UTC)
    assert leaf.not_valid_before_utc < now < leaf.not_valid_after_utc < now + timedelta(days=31)


def test_issuing_again_replaces_the_pair_and_leaves_nothing_behind(pki: Pki) -> None:
    before = pki.gateway.certificate.read_bytes(), len(list(pki.directory.iterdir()))
    assert pki.issue("gateway", "gateway.demo.internal", "second.demo.internal") == pki.gateway
    assert names(pki.gateway) == {"gateway.demo.internal", "second.demo.internal"}
    assert pki.gateway.certificate.read_bytes() != before[0]
    assert len(list(pki.directory.iterdir())) == before[1]
