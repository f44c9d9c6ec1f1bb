"""OAuth2 as far as the development issuer speaks it: roles, clients, the authorization request, codes, PKCE. No I/O.

Rule: what is not known exactly is refused, and until client and redirect URI are known to belong together, nothing is
sent to the redirect URI (RFC 6749, section 4.1.2.1; RFC 9700, section 4.1).
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

WEB_CLIENT = "web"  # the sample page: public, authorization code with PKCE
CLI_CLIENT = "cli"  # a terminal: client credentials
CLI_SECRET = "cli-secret"  # noqa: S105 - no secret: it opens a demonstration on this machine, and stands in its documents
CODE_LIFETIME = 60.0

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # BASE64URL(SHA256(verifier)): RFC 7636, section 4.2
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, section 4.1


@dataclass(frozen=True, slots=True)
class Role:
    """What a token for this role says."""

    name: str
    roles: tuple[str, ...]
    scope: str

    @property
    def subject(self) -> str:
        return f"{self.name}@demo"


ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (Role("reader", ("reader",), "demo.read"), Role("admin", ("reader", "admin"), "demo.read demo.admin"))
}
SCOPES = frozenset({"demo.read", "demo.admin"})


class OAuthError(Exception):
    """A refusal in the words of RFC 6749 (sections 4.1.2.1 and 5.2). `description` is for the developer to read."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class RedirectError(OAuthError):
    """An authorization request that is refused at its own redirect URI."""

    def __init__(self, error: str, description: str, redirect_uri: str, state: str) -> None:
        super().__init__(error, description)
        self.redirect_uri = redirect_uri
        self.state = state


def parameters(pairs: Collection[tuple[str, object]]) -> dict[str, str]:
    """Parameters as sent, each once at most; one without a value counts as absent (RFC 6749, sections 3.1 and 3.2)."""
    names = [name for name, _ in pairs]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise OAuthError("invalid_request", f"the parameter {repeated!r} is repeated")
    return {name: value for name, value in pairs if isinstance(value, str) and value}


def role_of(scope: str) -> Role:
    """The least role that covers `scope`, a list separated by spaces; empty: reader."""
    wanted = set(scope.split())
    if not wanted <= SCOPES:
        raise OAuthError("invalid_scope", "scope may be 'demo.read' or 'demo.read demo.admin'")
    return ROLES["admin" if "demo.admin" in wanted else "reader"]


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request for a code that may be shown to the person who decides about it."""

    client_id: str
    redirect_uri: str
    state: str
    code_challenge: str

    @classmethod
    def parse(cls, sent: Mapping[str, str], redirect_uris: Collection[str]) -> "AuthorizationRequest":
        """Raises OAuthError for what only a page may answer, RedirectError for what the client may be told."""
        if sent.get("client_id") != WEB_CLIENT:
            raise OAuthError("invalid_request", f"client_id must be {WEB_CLIENT!r}")
        redirect_uri = sent.get("redirect_uri", "")
        if redirect_uri not in redirect_uris:
            raise OAuthError("invalid_request", f"redirect_uri must be one of: {', '.join(redirect_uris)}")
        state = sent.get("state", "")

        def refuse(error: str, description: str) -> RedirectError:
            return RedirectError(error, description, redirect_uri, state)

        if sent.get("response_type") != "code":
            raise refuse("unsupported_response_type", "response_type must be 'code'")
        if not state:
            raise refuse("invalid_request", "state is missing")
        if sent.get("code_challenge_method") != "S256":  # absent means `plain`, which protects nothing
            raise refuse("invalid_request", "code_challenge_method must be 'S256'")
        challenge = sent.get("code_challenge", "")
        if not CHALLENGE.fullmatch(challenge):
            raise refuse("invalid_request", "code_challenge must be a SHA-256 in base64url: 43 characters")
        try:
            role_of(sent.get("scope", ""))
        except OAuthError as error:
            raise refuse(error.error, error.description) from None
        return cls(WEB_CLIENT, redirect_uri, state, challenge)

    def form(self) -> dict[str, str]:
        """The request once more as parameters, to be sent back by the page that asks for the decision."""
        return {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": self.code_challenge,
            "code_challenge_method": "S256",
        }


def answer_at(redirect_uri: str, issuer: str, state: str, **answer: str) -> str:
    """The address that carries the answer. `iss` tells the client who answers, against mix-up attacks (RFC 9207)."""
    stated = {"state": state} if state else {}
    return f"{redirect_uri}?{urlencode({**answer, **stated, 'iss': issuer})}"


class Codes:
    """Authorization codes that were issued and not yet used."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._issued: dict[str, tuple[AuthorizationRequest, Role, float]] = {}

    def issue(self, request: AuthorizationRequest, role: Role) -> str:
        now = self._now()
        self._issued = {code: entry for code, entry in self._issued.items() if entry[2] > now}
        code = secrets.token_urlsafe(32)
        self._issued[code] = (request, role, now + CODE_LIFETIME)
        return code

    def redeem(self, sent: Mapping[str, str]) -> Role:
        """The role that was granted. The first attempt uses the code up, right or wrong: there is no second guess."""
        request, role, expires_at = self._issued.pop(sent.get("code", ""), (None, None, 0.0))
        if request is None or role is None or expires_at <= self._now():
            raise OAuthError("invalid_grant", "the code is unknown, used or expired")
        if sent.get("client_id") != request.client_id or sent.get("redirect_uri") != request.redirect_uri:
            raise OAuthError("invalid_grant", "the code was issued to another client_id or redirect_uri")
        if not proves(sent.get("code_verifier", ""), request.code_challenge):
            raise OAuthError("invalid_grant", "code_verifier does not match code_challenge")
        return role


def proves(verifier: str, challenge: str) -> bool:
    """PKCE with S256 (RFC 7636, section 4.6)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return VERIFIER.fullmatch(verifier) is not None and hmac.compare_digest(digest, challenge)
