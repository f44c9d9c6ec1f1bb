import base64
import hashlib
import json

import jwt

from gateway.demo.signer import Signer


def test_a_token_is_verified_by_the_published_key_it_names() -> None:
    signer = Signer()
    token = signer.sign({"sub": "somebody"})
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": signer.kid}
    (key,) = jwt.PyJWKSet.from_dict(signer.jwks()).keys
    assert key.key_id == signer.kid
    assert jwt.decode(token, key, algorithms=["ES256"]) == {"sub": "somebody"}


def test_the_key_set_is_public_and_the_key_id_is_the_thumbprint() -> None:
    signer = Signer()
    (key,) = signer.jwks()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}  # `d` would be the private key
    canonical = json.dumps({name: key[name] for name in ("kty", "crv", "x", "y")}, sort_keys=True).replace(" ", "")
    digest = hashlib.sha256(canonical.encode()).digest()
    assert base64.urlsafe_b64decode(key["kid"] + "=") == digest


def test_each_run_has_a_key_of_its_own() -> None:
    assert Signer().kid != Signer().kid
