"""`auth`: who calls, by which tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from gateway.settings.algorithm import ALGORITHM_PATTERN, read_algorithm
from gateway.settings.header import CLAIM_HEADER_PATTERN, read_claim_header
from gateway.settings.kind import NAME, Secret, Text
from gateway.settings.method import METHOD_PATTERN, read_method
from gateway.settings.model import Section
from gateway.settings.quantity import Duration
from gateway.settings.url import DISCOVER, KEYS_PATTERN, URL_PATTERN, read_issuer, read_keys, read_url

Method = Annotated[str, Text(read_method, METHOD_PATTERN, ("/shop.v1.Orders/GetOrder",))]
Name = Annotated[str, NAME]


class Issuer(Section):
    """One authorization server whose JWTs are accepted (RFC 7519, RFC 9068)."""

    issuer: Annotated[str, Text(read_issuer, URL_PATTERN, ("https://login.example.com/",))]
    """Its identifier, exactly as the claim `iss` has it, the last slash included."""
    audiences: Annotated[tuple[Name, ...], Field(min_length=1)]
    """A token must name one of these in `aud`."""
    algorithms: Annotated[tuple[Annotated[str, Text(read_algorithm, ALGORITHM_PATTERN)], ...], Field(min_length=1)] = (
        "RS256",
        "ES256",
    )
    """Signatures that are accepted: RS256/384/512, PS256/384/512, ES256/384/512, EdDSA."""
    jwks: Annotated[str | Path, Text(read_keys, KEYS_PATTERN, (DISCOVER, "https://login.example.com/keys"))] = DISCOVER
    """Where its keys are: `discover` (OIDC metadata), an https URL, or a file."""
    token_types: Annotated[tuple[Name, ...], Field(min_length=1)] = ("at+jwt", "JWT")
    """Values of `typ` that are accepted, so that an ID token is not taken for an access token."""
    leeway: Annotated[float, Duration(minimum=0.0, maximum=300.0)] = 30.0
    """How far the issuer's clock may be off."""
    max_lifetime: Annotated[float, Duration(minimum=1.0)] = 86400.0
    """Longest time from `iat` to `exp`."""
    roles_from: tuple[Name, ...] = ("scope", "roles", "realm_access.roles")
    """Claims that name roles, with dots into objects; a string is split on spaces."""


class Introspection(Section):
    """Where opaque tokens are asked about (RFC 7662)."""

    url: Annotated[str, Text(read_url, URL_PATTERN, ("https://login.example.com/introspect",))]
    """The introspection endpoint."""
    client_id: Name
    """The gateway's name there."""
    client_secret: Annotated[SecretStr, Secret()]
    """Its password there; take it from the environment."""
    cache: Annotated[float, Duration(minimum=0.0, maximum=3600.0)] = 60.0
    """How long an answer is believed; a token that is withdrawn works for so long."""


class Auth(Section):
    """Which tokens are believed, which methods need none, and what backends learn of them."""

    issuers: tuple[Issuer, ...] = ()
    """Whose JWTs are accepted."""
    introspection: Introspection | None = None
    """For opaque tokens."""
    public_methods: tuple[Method, ...] = ("/grpc.health.v1.Health/Check",)
    """Exact paths that need no token, and nothing else."""
    forward_authorization: bool = True
    """Send the verified token on to the backend; refused for a plaintext one without allow_insecure_tokens."""
    forward_claims: Mapping[Annotated[str, Text(read_claim_header, CLAIM_HEADER_PATTERN)], Name] = {}
    """Request headers the gateway sets from claims, e.g. {x-user-id: sub}; a client's own are stripped first."""
