"""Certificates that are wrong in just one way."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Authority:
    """Signs certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def authority(name: str = "test authority", *, days: int = 30, key_usage: bool = True) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, name, key, timedelta(days=-60), timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if key_usage:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def leaf(
    signer: Authority, name: str, *, start: timedelta = -DAY, end: timedelta = DAY, key: Key | None = None
) -> tuple[bytes, Key]:
    """PEM of a certificate for a DNS name, which is its CN too, and its key, a new one if none is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    issuer = signer.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    builder = _builder(name, str(issuer), key, start, end)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    # Who the signer is: OpenSSL asks for it where it is strict (RFC 5280, section 4.2.1.1), as Python 3.13 has it.
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    builder = builder.add_extension(signed_by, critical=False)
    certificate = builder.sign(signer.key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), key


def key_pem(key: Key, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def write_pair(folder: Path, certificate: bytes, key: Key, stem: str = "pair") -> tuple[Path, Path]:
    paths = folder / f"{stem}.pem", folder / f"{stem}.key"
    paths[0].write_bytes(certificate)
    paths[1].write_bytes(key_pem(key))
    return paths


def _builder(name: str, issuer: str, key: Key, start: timedelta, end: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
    )
