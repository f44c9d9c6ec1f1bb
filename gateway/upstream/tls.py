"""Certificates and keys, read and judged before anything uses them.

Rule: a bad pair is never used. What is wrong, in which file, and what to do stands in one `CertificateError`.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


class CertificateError(Exception):
    """`field` names the setting (`ca`, `certificate`, `private_key`), the text says what is wrong and what to do."""

    def __init__(self, field: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.message = message
        self.hint = hint


def refused_by_openssl(error: ssl.SSLError | OSError) -> CertificateError:
    """In its own words, which say little."""
    reason = getattr(error, "reason", None) or str(error)
    hint = "its key or its signature may be too weak, or a part of it unreadable: make it anew"
    return CertificateError("certificate", f"OpenSSL refuses it: {reason}", hint)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate chain and its key, in PEM, found to fit each other."""

    certificate: bytes
    private_key: bytes
    expires_at: float  # seconds since the epoch, of the leaf

    def __repr__(self) -> str:
        return f"Identity(expires_at={self.expires_at})"  # never the key


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificates of authorities, in PEM."""

    certificates: bytes


def load_identity(certificate: Path, private_key: Path, *, now: datetime | None = None) -> Identity:
    """Read a pair, leaf first. Raises CertificateError."""
    now = now or datetime.now(UTC)
    chain_pem, chain = _read_certificates("certificate", certificate)
    key_pem = _read("private_key", private_key)
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError:
        raise CertificateError(
            "private_key", f"{private_key} is encrypted", "decrypt it first: openssl pkey -in KEY -out PLAIN"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("private_key", f"{private_key} holds no private key in PEM that can be read") from None
    leaf = chain[0]
    try:
        fits = _spki(key.public_key()) == _spki(leaf.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("certificate", f"{certificate} has a key of a kind that cannot be used") from None
    if not fits:
        raise CertificateError(
            "private_key",
            f"{private_key} is not the key of {certificate}",
            "were both renewed? the first certificate in the file must be the leaf",
        )
    for one in chain:
        _check_dates("certificate", certificate, one, now)
    for one, issuer in pairwise(chain):
        _check_issued("certificate", certificate, one, issuer)
    return Identity(chain_pem, key_pem, leaf.not_valid_after_utc.timestamp())


def load_trust(field: str, path: Path, *, now: datetime | None = None) -> Trust:
    """Read a bundle of authorities; expired ones are no reason to refuse it while one is valid.

    Raises CertificateError.
    """
    now = now or datetime.now(UTC)
    pem, certificates = _read_certificates(field, path)
    latest = max(certificates, key=lambda one: one.not_valid_after_utc)
    _check_dates(field, path, latest, now)
    return Trust(pem)


def _read(field: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(field, f"no such file: {path}") from None
    except OSError as error:
        raise CertificateError(field, f"cannot read {path}: {error.strerror}") from None


def _read_certificates(field: str, path: Path) -> tuple[bytes, list[x509.Certificate]]:
    pem = _read(field, path)
    try:
        return pem, x509.load_pem_x509_certificates(pem)
    except ValueError:
        hint = (
            "this looks like a private key" if b"PRIVATE KEY" in pem else "PEM starts with -----BEGIN CERTIFICATE-----"
        )
        raise CertificateError(field, f"{path} holds no certificate in PEM that can be read", hint) from None


def _check_dates(field: str, path: Path, one: x509.Certificate, now: datetime) -> None:
    if one.not_valid_after_utc <= now:
        raise CertificateError(
            field, f"{path} ({_name(one)}) expired on {one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", "renew it"
        )
    if one.not_valid_before_utc > now:
        raise CertificateError(
            field,
            f"{path} ({_name(one)}) is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "is this machine's clock right?",
        )


def _check_issued(field: str, path: Path, one: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise CertificateError(
            field,
            f"{path}: {_name(one)} was not issued by {_name(issuer)}, which follows it",
            "the order is leaf first, then each issuer",
        ) from None


def _name(one: x509.Certificate) -> str:
    return one.subject.rfc4514_string() or f"serial {one.serial_number:x}"


def _spki(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded
