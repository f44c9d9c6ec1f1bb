"""The backend's half of the subject: whom a grpc.aio service behind the gateway lets in. Made to be copied into yours.

Two interceptors, in this order, for unary calls and streams alike:

1. `IdentityInterceptor`: the client certificate names the gateway. Mutual TLS has only shown that the certificate comes
   from the authority; every other service has one of those too.
2. `TokenInterceptor`: the forwarded token, checked again. The data is here: a gateway that is misconfigured, or not the
   only way in, must not be enough to read it.

Rule: closed by default. A method is exempt only by its exact path: health from both, since whoever probes has neither
the gateway's certificate nor a token, and reflection from the token, since descriptors are asked for before anyone
calls. Who may call which method is for the gateway's rules, in one place.
"""

import abc
import inspect
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
import jwt

Request = TypeVar("Request")
Reply = TypeVar("Reply")
Context = grpc.aio.ServicerContext[Any, Any]
Check = Callable[[Context], Awaitable[None]]
Verify = Callable[[str], Mapping[str, object]]  # a token in, its claims out; raises TokenError

HEALTH = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
REFLECTION = frozenset(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")
)

# What the handlers may read. Each call is a task of its own, so each call has its own values.
GATEWAY: ContextVar[str] = ContextVar("GATEWAY", default="")  # the identity that was admitted
CLAIMS: ContextVar[Mapping[str, object]] = ContextVar("CLAIMS", default={})  # of the verified token  # noqa: B039


class Guard(grpc.aio.ServerInterceptor):
    """Lets `check` judge every call whose path is not in `exempt`, before the handler sees it."""

    exempt: frozenset[str] = frozenset()

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Request, Reply] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Request, Reply] | None":
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method in self.exempt:
            return handler  # None: no such method, which grpc answers itself
        return guarded(handler, self.check)

    @abc.abstractmethod
    async def check(self, context: Context) -> None:
        """Returns to let the call through; ends it with `context.abort`, which raises."""


class IdentityInterceptor(Guard):
    """Admits clients whose certificate carries one of the identities, e.g. `DNS:gateway.demo.internal`."""

    exempt = HEALTH

    def __init__(self, *admit: str) -> None:
        self.admit = admit

    async def check(self, context: Context) -> None:
        admitted = [identity for identity in identities(context) if identity in self.admit]
        if not admitted:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this backend serves its gateway only")
        GATEWAY.set(admitted[0])


class TokenInterceptor(Guard):
    """Admits calls with `authorization: Bearer TOKEN` that `verify` accepts; if not `required`, also those without."""

    exempt = HEALTH | REFLECTION

    def __init__(self, verify: Verify, *, required: bool = True) -> None:
        self._verify = verify
        self._required = required

    async def check(self, context: Context) -> None:
        headers = [str(value) for name, value in context.invocation_metadata() or () if name == "authorization"]
        if not headers and not self._required:
            return
        try:
            CLAIMS.set(self._verify(bearer(headers)))
        except TokenError:  # the reason stays here: whoever forges tokens shall not learn what is wrong with them
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the forwarded token is missing or not valid")


def guarded(handler: "grpc.RpcMethodHandler[Request, Reply]", check: Check) -> "grpc.RpcMethodHandler[Request, Reply]":
    """`handler` behind `check`, whatever its kind; a call that is refused never reaches it.

    How a handler takes its requests makes no difference here. How it replies does: it returns one message, yields
    messages, or sends them with `context.write`, as grpc.aio allows.
    """
    kind = f"{_arity(handler.request_streaming)}_{_arity(handler.response_streaming)}"
    behaviour: Callable[[Any, Context], Any] = getattr(handler, kind)

    async def one_reply(request: Any, context: Context) -> Any:
        await check(context)
        return await behaviour(request, context)

    async def many_replies(request: Any, context: Context) -> AsyncIterator[Any]:
        await check(context)
        replies = behaviour(request, context)
        if inspect.isawaitable(replies):  # a coroutine, which sends with context.write
            await replies
            return
        async with aclosing(replies):  # a cancelled stream runs the handler's `finally` now, not when it is collected
            async for reply in replies:
                yield reply

    make = getattr(grpc, f"{kind}_rpc_method_handler")
    wrapped: grpc.RpcMethodHandler[Request, Reply] = make(
        many_replies if handler.response_streaming else one_reply,
        handler.request_deserializer,
        handler.response_serializer,
    )
    return wrapped


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def identities(context: Context) -> list[str]:
    """The subject alternative names of the client's certificate: URIs as they are (`spiffe://...`), names as `DNS:...`.

    Not the common name: authorities do not vouch for it alone.
    """
    peer = context.auth_context()
    names = [("", name) for name in peer.get("peer_uri", ())] + [("DNS:", name) for name in peer.get("peer_dns", ())]
    return [prefix + name.decode("utf-8", "replace") for prefix, name in names]


def bearer(headers: list[str]) -> str:
    """The token of the one `authorization` header (RFC 6750, section 2.1); TokenError when there is none or several."""
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise TokenError("not exactly one bearer token")
    return token


class TokenError(Exception):
    """The token is no proof of anything. The text is for the backend's own log."""


class JwtVerifier:
    """Accepts access tokens (RFC 9068) which `issuer` signed with ES256 for `audience` and which have not expired.

    `jwks` is a file, or a function that returns the issuer's current key set (RFC 7517). It is read again for a `kid`
    that is not known, and after `MAX_AGE` seconds, so that a withdrawn key does not stay in use.
    """

    MAX_AGE = 300.0

    def __init__(self, jwks: Callable[[], Mapping[str, object]] | Path, *, issuer: str, audience: str) -> None:
        self._jwks = jwks
        self._issuer = issuer
        self._audience = audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")

    def __call__(self, token: str) -> Mapping[str, object]:
        try:
            claims: dict[str, object] = jwt.decode(
                token,
                self._key(jwt.get_unverified_header(token)),
                algorithms=["ES256"],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["iss", "aud", "exp", "sub"]},
            )
        except Exception as error:  # not only PyJWTError: a hostile token may trip any line of a parser
            raise TokenError(str(error)) from error
        return claims

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        if str(header.get("typ")).lower().removeprefix("application/") != "at+jwt":
            raise TokenError("not an access token")
        kid = header["kid"]
        if kid not in self._keys or time.monotonic() - self._read_at > self.MAX_AGE:
            jwks = json.loads(self._jwks.read_bytes()) if isinstance(self._jwks, Path) else dict(self._jwks())
            keys = jwt.PyJWKSet.from_dict(jwks).keys
            self._keys = {key.key_id: key for key in keys if key.key_id and key.algorithm_name == "ES256"}
            self._read_at = time.monotonic()
        return self._keys[kid]
