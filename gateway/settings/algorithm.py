"""Signatures of tokens that may be accepted at all (RFC 7518, RFC 8037).

Rule: asymmetric only. With a shared secret whoever checks tokens could also make them, and a public key taken for a
secret is the oldest attack on JWTs.
"""

import difflib

from gateway.settings.kind import Source, refuse

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
ALGORITHM_PATTERN = f"^({'|'.join(ALGORITHMS)})$"


def read_algorithm(text: str, _source: Source) -> str:
    if text in ALGORITHMS:
        return text
    if text.lower() == "none":
        refuse("none means no signature: anybody could write such a token", f"use one of {', '.join(ALGORITHMS)}")
    if text.upper().startswith("HS"):
        refuse(f"{text} uses a shared secret, which a public key set must not hold", "use RS256, PS256, ES256 or EdDSA")
    close = difflib.get_close_matches(text.upper(), ALGORITHMS, 1)
    refuse(f"must be one of {', '.join(ALGORITHMS)}", f"did you mean {close[0]}?" if close else None)
