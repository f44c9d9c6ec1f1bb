"""A development OAuth2 issuer: authorization code with PKCE for the sample page, client credentials for a terminal.

FOR DEVELOPMENT ONLY: it asks nobody for a password, and its client secret is public. So it binds to the loopback
address, unless another is named, as in a container whose port is published on this machine only. Two more things no
real issuer does, because refusals have to be shown: `mint` makes any token, and the token endpoint takes `expires_in`,
in seconds, negative for a token that has already expired.

Rule: the HTTP is here, the decisions of OAuth2 are in oauth.py, the key is in signer.py. Every answer is `no-store`.
Sources: RFC 6749, RFC 7636 (PKCE), RFC 8414 (metadata), RFC 9068 (JWT access tokens), RFC 9207 (`iss`).
"""

import base64
import binascii
import hmac
import html
import math
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

import aiohttp_cors
from aiohttp import web

from gateway.demo.oauth import (
    CLI_CLIENT,
    CLI_SECRET,
    ROLES,
    SCOPES,
    WEB_CLIENT,
    AuthorizationRequest,
    Codes,
    OAuthError,
    RedirectError,
    Role,
    answer_at,
    parameters,
    role_of,
)
from gateway.demo.signer import Signer
from gateway.settings import Address

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - to be told from an address that a client can call
LIFETIME = 900
MAX_LIFETIME = 24 * 3600
FORM = "application/x-www-form-urlencoded"


class Issuer:
    """Issues tokens for `audience` to the page at any of `origins`, each of which is called back at its root."""

    def __init__(self, origins: Sequence[str], audience: str = "demo-api") -> None:
        self.audience = audience
        self.redirect_uris = tuple(f"{origin}/" for origin in origins)
        self._origins = tuple(origins)
        self._codes = Codes()
        self._signer = Signer()
        self._runner: web.AppRunner | None = None
        self.port = 0
        self._url = ""

    @property
    def url(self) -> str:
        """The issuer identifier, e.g. "http://127.0.0.1:8081": `iss` of every token. RuntimeError before `start`."""
        if not self._url:
            raise RuntimeError("the issuer has no address before it is started")
        return self._url

    async def start(self, port: int = 0, *, host: str = LOOPBACK, url: str | None = None) -> None:
        """Serves; port 0 takes a free one. `url`: how it calls itself, if not by its own address.

        Raises OSError when the port is taken or the host is none of this machine's.
        """
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)  # a log would show codes
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            code = error.errno or 0
            raise OSError(code, os.strerror(code), f"{Address(host, port)} (demo issuer)") from error
        self._runner = runner
        self.port = runner.addresses[0][1]
        self._url = url or f"http://{Address(LOOPBACK if host in EVERYWHERE else host, self.port)}"

    async def stop(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def mint(self, role: str, lifetime: float = LIFETIME, **claims: object) -> str:
        """An access token for `role`, "reader" or "admin", that is good for at least `lifetime` seconds.

        `claims` replace those the token would have. Raises KeyError for another role.
        """
        granted = ROLES[role]
        now = time.time()
        expires_at = math.ceil(now + lifetime) if lifetime > 0 else math.floor(now + lifetime)
        issued_at = math.floor(now) if lifetime > 0 else expires_at - LIFETIME  # an expired token was good once
        return self._signer.sign(
            {
                "iss": self.url,
                "sub": granted.subject,
                "aud": self.audience,
                "exp": expires_at,
                "iat": issued_at,
                "nbf": issued_at,
                "jti": secrets.token_urlsafe(12),
                "client_id": CLI_CLIENT,
                "scope": granted.scope,
                "roles": list(granted.roles),
                **claims,
            }
        )

    def public_jwks(self) -> dict[str, object]:
        """The key set (RFC 7517) that verifies what `mint` signs."""
        return self._signer.jwks()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=16 * 1024)
        app.on_response_prepare.append(self._add_headers)
        allowed = aiohttp_cors.ResourceOptions(allow_headers=("content-type",), max_age=600)  # type: ignore[no-untyped-call]
        cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(self._origins, allowed))
        for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
            cors.add(app.router.add_get(path, self._metadata))
        cors.add(app.router.add_get("/jwks", self._jwks))
        cors.add(app.router.add_post("/token", self._token))
        app.router.add_get("/authorize", self._ask)  # no CORS: a person goes there, no script
        app.router.add_post("/authorize", self._decide)
        app.router.add_get("/issuer.css", _stylesheet)
        return app

    async def _add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        # Chromium holds form-action against the redirect that answers a form too: the page's origins have to be in it.
        actions = " ".join(("'self'", *self._origins))
        response.headers["content-security-policy"] = (
            f"default-src 'none'; style-src 'self'; img-src data:; form-action {actions}; "
            "frame-ancestors 'none'; base-uri 'none'"
        )
        response.headers["cache-control"] = "no-store"
        response.headers["referrer-policy"] = "no-referrer"
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["server"] = "demo-issuer"

    async def _metadata(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "client_credentials"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
                "scopes_supported": sorted(SCOPES),
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _jwks(self, _request: web.Request) -> web.Response:
        return web.json_response(self.public_jwks())

    async def _ask(self, request: web.Request) -> web.Response:
        try:
            asked = AuthorizationRequest.parse(parameters(list(request.query.items())), self.redirect_uris)
        except OAuthError as error:
            return self._refuse(error)
        fields = "\n    ".join(
            f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in asked.form().items()
        )
        origin = html.escape(asked.redirect_uri.removesuffix("/"))
        return _page("authorize.html", 200, origin=origin, fields=fields)

    async def _decide(self, request: web.Request) -> web.Response:
        try:
            sent = await _form(request)
            asked = AuthorizationRequest.parse(sent, self.redirect_uris)
            role = ROLES.get(sent.get("role", ""))
            if role is None:
                raise RedirectError("access_denied", "no role was chosen", asked.redirect_uri, asked.state)
        except OAuthError as error:
            return self._refuse(error)
        code = self._codes.issue(asked, role)
        return _see_other(answer_at(asked.redirect_uri, self.url, asked.state, code=code))

    def _refuse(self, error: OAuthError) -> web.Response:
        if isinstance(error, RedirectError):
            answer = {"error": error.error, "error_description": error.description}
            return _see_other(answer_at(error.redirect_uri, self.url, error.state, **answer))
        return _page("refused.html", 400, error=error.error, description=html.escape(error.description))

    async def _token(self, request: web.Request) -> web.Response:
        try:
            sent = await _form(request)
            client_id, role = self._grant(sent, request.headers.get("authorization", ""))
            lifetime = _lifetime(sent)
        except OAuthError as error:
            refusal = {"error": error.error, "error_description": error.description}
            if error.error == "invalid_client":
                return web.json_response(refusal, status=401, headers={"www-authenticate": 'Basic realm="demo issuer"'})
            return web.json_response(refusal, status=400)
        token = self.mint(role.name, lifetime, client_id=client_id)
        return web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, "scope": role.scope}
        )

    def _grant(self, sent: Mapping[str, str], authorization: str) -> tuple[str, Role]:
        """Which client may have which role. Raises OAuthError (RFC 6749, section 5.2)."""
        client_id = _authenticate(sent, authorization)
        grant_type = sent.get("grant_type")
        if grant_type not in ("authorization_code", "client_credentials"):
            raise OAuthError("unsupported_grant_type", "grant_type must be authorization_code or client_credentials")
        if (grant_type == "authorization_code") != (client_id == WEB_CLIENT):
            raise OAuthError("unauthorized_client", f"the client {client_id!r} may not use {grant_type}")
        return client_id, self._codes.redeem(sent) if client_id == WEB_CLIENT else role_of(sent.get("scope", ""))


def _authenticate(sent: Mapping[str, str], authorization: str) -> str:
    """The client's id: `web` without a secret, `cli` with its secret, in the header or the form (RFC 6749, 2.3.1)."""
    client_id, secret = sent.get("client_id", ""), sent.get("client_secret", "")
    if authorization:
        scheme, _, credentials = authorization.partition(" ")
        if secret or scheme.lower() != "basic":
            raise OAuthError("invalid_client", "authenticate once: by HTTP Basic, or by client_secret in the form")
        try:
            client_id, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise OAuthError("invalid_client", "the HTTP Basic credentials are malformed") from None
    if client_id == WEB_CLIENT and not secret:
        return WEB_CLIENT
    if client_id == CLI_CLIENT and hmac.compare_digest(secret.encode(), CLI_SECRET.encode()):
        return CLI_CLIENT
    raise OAuthError("invalid_client", "unknown client, or wrong secret")


def _lifetime(sent: Mapping[str, str]) -> int:
    """`expires_in`, which only this issuer knows: a short or expired token, to show what the gateway makes of it."""
    try:
        lifetime = int(sent.get("expires_in", LIFETIME))
    except ValueError:
        lifetime = MAX_LIFETIME + 1
    if abs(lifetime) > MAX_LIFETIME:
        raise OAuthError("invalid_request", f"expires_in must be a number of seconds, {MAX_LIFETIME} at most")
    return lifetime


async def _form(request: web.Request) -> dict[str, str]:
    if request.content_type != FORM:
        raise OAuthError("invalid_request", f"the content type must be {FORM}")
    try:
        return parameters(list((await request.post()).items()))
    except (UnicodeDecodeError, LookupError):  # LookupError: a charset nobody knows
        raise OAuthError("invalid_request", "the form is not UTF-8") from None


def _see_other(location: str) -> web.Response:
    return web.Response(status=303, headers={"location": location})


def _page(name: str, status: int, **values: str) -> web.Response:
    """A page of pages/; `values` are HTML already."""
    template = Template((files("gateway.demo") / "pages" / name).read_text("utf-8"))
    return web.Response(text=template.substitute(values), status=status, content_type="text/html")


async def _stylesheet(_request: web.Request) -> web.Response:
    return web.Response(
        text=(files("gateway.demo") / "pages" / "issuer.css").read_text("utf-8"), content_type="text/css"
    )
