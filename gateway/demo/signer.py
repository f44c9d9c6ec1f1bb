"""The issuer's key: access tokens signed with ES256, and the public half as a key set.

Rule: the private key lives in memory only, one for each run; the key id is the thumbprint of the key (RFC 7638).
"""

import base64
import hashlib
import json
from collections.abc import Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm


class Signer:
    """One P-256 key."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public: dict[str, object] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.kid = _thumbprint(public)
        self._public = {**public, "use": "sig", "alg": "ES256", "kid": self.kid}

    def sign(self, claims: Mapping[str, object]) -> str:
        """A JWT whose header says it is an access token (RFC 9068, section 2.1)."""
        return jwt.encode(dict(claims), self._key, algorithm="ES256", headers={"typ": "at+jwt", "kid": self.kid})

    def jwks(self) -> dict[str, object]:
        """RFC 7517, section 5."""
        return {"keys": [self._public]}


def _thumbprint(public: Mapping[str, object]) -> str:
    required = {name: public[name] for name in ("crv", "kty", "x", "y")}  # in this order: RFC 7638, section 3.2
    digest = hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
