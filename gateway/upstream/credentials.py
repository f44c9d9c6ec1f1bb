"""What the gateway proves to a backend and whom it believes: read from the files of `tls`, judged before use."""

import ssl
from dataclasses import dataclass

from gateway.settings import Upstream as UpstreamSettings
from gateway.settings import UpstreamTls
from gateway.upstream.tls import CertificateError, Identity, Trust, load_identity, load_trust, refused_by_openssl


@dataclass(frozen=True, slots=True)
class Credentials:
    """What TLS to a backend is made from; `identity` None: the backend asks for no client certificate."""

    trust: Trust | None
    identity: Identity | None


def load_credentials(settings: UpstreamSettings) -> Credentials | None:
    """From the files of `tls`; None for plaintext. Raises CertificateError."""
    tls = settings.tls
    if tls is None:
        return None
    trust = load_trust("ca", tls.ca) if tls.ca is not None else None
    if tls.certificate is None or tls.private_key is None:
        return Credentials(trust, None)
    return Credentials(trust, load_identity(tls.certificate, tls.private_key))


def client_context(credentials: Credentials, tls: UpstreamTls) -> ssl.SSLContext:
    """TLS 1.2 or later with ALPN `h2`; chain and name of the backend are checked. Raises CertificateError.

    OpenSSL reads a pair from files only: should they change after they were judged, the judgement does not hold.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # a name that is no SAN proves nothing
    context.set_alpn_protocols(["h2"])
    try:
        if credentials.trust is None:
            context.load_default_certs()
        else:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # who signs need not be a root, as with grpcio
            context.load_verify_locations(cadata=credentials.trust.certificates.decode("ascii", "ignore"))
        if tls.certificate is not None and tls.private_key is not None:
            context.load_cert_chain(tls.certificate, tls.private_key)
            if load_identity(tls.certificate, tls.private_key) != credentials.identity:
                raise CertificateError("certificate", f"{tls.certificate} changed while it was read")
    except (ssl.SSLError, OSError) as error:
        raise refused_by_openssl(error) from None
    return context
