"""Why there is no connection to a backend, and what an operator can do about it.

Rule: the cause is told in the words of the system or of OpenSSL, which can be searched for; the hint is ours.
"""

import errno
import os
import socket
import ssl

LISTENING = "is a backend listening there?"
UNTRUSTED = range(18, 22)  # X509_V_ERR_: self-signed, or of an authority that is not in `ca`
OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH
NOT_NOW = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED


class ConnectError(Exception):
    """The message says why, for the operator; `hint` what to do, empty where the message does."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def connect_error(error: Exception) -> ConnectError:
    """What kept from resolving a name, from connecting or from the handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectError(f"the backend's certificate is refused: {error.verify_message}", _of_certificate(error))
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        return ConnectError(f"TLS failed: {reason}", _of_handshake(reason))
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number > 0:
        is_nobody_there = number in (errno.ECONNREFUSED, errno.ENOENT)
        return ConnectError(os.strerror(number), LISTENING if is_nobody_there else "")  # asyncio has words of its own
    hint = "is the name right, and known on this machine?" if isinstance(error, socket.gaierror) else ""
    return ConnectError(getattr(error, "strerror", None) or str(error) or type(error).__name__, hint)


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in UNTRUSTED:
        return "tls.ca must hold who signed the backend's certificate"
    if error.verify_code in OTHER_NAME:
        return "tls.server_name must be a name (SAN) of the backend's certificate"
    if error.verify_code in NOT_NOW:
        return "renew it; or is a clock wrong?"
    return ""


def _of_handshake(reason: str) -> str:
    if "WRONG_VERSION_NUMBER" in reason:
        return "does the backend speak TLS? if not, plaintext: true in place of tls"
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return "does the backend accept tls.certificate?"
    return ""
