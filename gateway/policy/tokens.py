"""Access tokens: from the Authorization header to a `Subject`, or a `Refusal` (RFC 6750, RFC 7519, RFC 7662).

Rules
- The token comes in one Authorization header, scheme Bearer, and from nowhere else.
- Its own `iss`, not yet believed, chooses the issuer from a table; from then on only that issuer's keys, algorithms,
  types and audiences count.
- The client learns that it was refused; why, only the log learns.
- Whatever goes wrong is a refusal. A missing key set or a silent introspection endpoint lets nobody in.
"""

import asyncio
import string
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import aiohttp

from gateway.permit import Refusal, Subject
from gateway.policy.claims import TokenError
from gateway.policy.fetch import Fetcher
from gateway.policy.introspection import Introspector
from gateway.policy.jwt import Unverified, normal_type, read, verify
from gateway.policy.keys import KeySet, Refresh
from gateway.policy.token_cache import TokenCache
from gateway.protocol.metadata import Header
from gateway.protocol.status import Code, Status
from gateway.settings import Auth, Issuer

MAX_TOKEN = 8 * 1024  # a security limit, looked at before anything is parsed
ACCEPTED = 10_000  # outcomes kept
REFUSED = 1_000  # kept apart, so that strangers cannot push good tokens out

_B64TOKEN = (string.ascii_letters + string.digits + "-._~+/").encode()  # RFC 6750, section 2.1


@cache
def refused(reason: str) -> Refusal:
    """The answer to a token that was sent. `reason` is a code, never text from outside."""
    challenge = (b"www-authenticate", b'Bearer error="invalid_token"')
    return Refusal(Status(Code.UNAUTHENTICATED, "the access token was refused"), reason, (challenge,))


def bearer(headers: Sequence[Header]) -> bytes | Refusal | None:
    """The token in `headers` (names lower-case). None: there is no Authorization. Refusal: not one Bearer token."""
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        return None
    if len(values) > 1:
        return refused("token_malformed")
    scheme, _, credentials = values[0].partition(b" ")
    if scheme.lower() != b"bearer":
        return refused("token_scheme" if scheme else "token_malformed")
    token = credentials.lstrip(b" ")
    text = token.rstrip(b"=")
    # What is left when all that a token may hold is taken away; a third of the time of a regular expression.
    return token if text and not text.translate(None, _B64TOKEN) else refused("token_malformed")


@dataclass(frozen=True, slots=True)
class _Trusted:
    """An issuer and what its tokens are checked with."""

    issuer: Issuer
    types: frozenset[str]
    keys: KeySet


class TokenVerifier:
    """Says who a token stands for.

    `key_sets`, by issuer, are others' to start and to close; without them it has its own. `now` gives seconds since the
    epoch. `session` is shared, and not closed here.
    """

    def __init__(
        self,
        auth: Auth,
        *,
        key_sets: Mapping[str, KeySet] | None = None,
        session: aiohttp.ClientSession | None = None,
        now: Callable[[], float] = time.time,
        refresh: Refresh | None = None,
    ) -> None:
        self._now = now
        self._fetcher = Fetcher(session)
        self._own: list[KeySet] = []
        if key_sets is None:
            key_sets = {
                issuer.issuer: KeySet(issuer.issuer, issuer.jwks, Fetcher(session), refresh=refresh)
                for issuer in auth.issuers
            }
            self._own.extend(key_sets.values())
        self._trusted = {
            issuer.issuer: _Trusted(
                issuer, frozenset(normal_type(name) for name in issuer.token_types), key_sets[issuer.issuer]
            )
            for issuer in auth.issuers
        }
        self._introspector = (
            Introspector(auth.introspection, auth.issuers, self._fetcher, now) if auth.introspection else None
        )
        self._accepted: TokenCache[Subject] = TokenCache(ACCEPTED, now)
        self._refused: TokenCache[Refusal] = TokenCache(REFUSED, now)

    @property
    def ready(self) -> bool:
        """Every issuer has keys."""
        return all(trusted.keys.ready for trusted in self._trusted.values())

    @property
    def key_sets(self) -> dict[str, KeySet]:
        """The keys of each issuer, for those who watch over their age."""
        return {name: trusted.keys for name, trusted in self._trusted.items()}

    def cached(self, token: bytes) -> Subject | Refusal | None:
        """What can be said without waiting, from memory or with the keys at hand. None: `verify` has to wait for it."""
        outcome = self._accepted.get(token) or self._refused.get(token)
        if outcome is not None:
            return outcome
        if len(token) > MAX_TOKEN:
            return refused("token_too_large")
        if self._introspector_for(token) is not None:
            return None
        try:
            claimed, trusted = self._choose(token)
            return None if trusted.keys.is_worth_waiting(claimed.kid) else self._check(token, claimed, trusted)
        except TokenError as error:
            return refused(error.reason)

    async def verify(self, token: bytes) -> Subject | Refusal:
        """The same, waiting for a key or the introspection endpoint if need be. Never raises."""
        outcome = self.cached(token)
        if outcome is not None:
            return outcome
        introspector = self._introspector_for(token)
        if introspector is not None:
            return await self._introspected(token, introspector)
        try:
            claimed, trusted = self._choose(token)
            await trusted.keys.wait_for(claimed.kid)
            return self._check(token, claimed, trusted)
        except TokenError as error:
            return refused(error.reason)

    async def start(self) -> None:
        """Fetch its own key sets once, and keep them fresh from then on. An issuer that is down does not stop it."""
        await asyncio.gather(*(keys.start() for keys in self._own))

    async def close(self) -> None:
        await asyncio.gather(*(keys.close() for keys in self._own))
        if self._introspector is not None:
            await self._introspector.close()
        await self._fetcher.close()

    def _introspector_for(self, token: bytes) -> Introspector | None:
        """Whom to ask about an opaque `token`. What looks like a JOSE object is judged here, if there are issuers."""
        if self._trusted and (token.startswith(b"eyJ") or token.count(b".") == 2):
            return None
        return self._introspector

    def _choose(self, token: bytes) -> tuple[Unverified, _Trusted]:
        claimed = read(token)
        trusted = self._trusted.get(claimed.issuer)
        if trusted is None:
            raise TokenError("token_issuer")
        if claimed.algorithm not in trusted.issuer.algorithms:
            raise TokenError("token_algorithm")
        if claimed.type not in trusted.types:
            raise TokenError("token_type")
        return claimed, trusted

    def _check(self, token: bytes, claimed: Unverified, trusted: _Trusted) -> Subject:
        if not trusted.keys.ready:
            raise TokenError("keys_unavailable")
        key = trusted.keys.find(claimed.kid, claimed.algorithm)
        if key is None:
            raise TokenError("token_key_unknown")
        subject = verify(claimed, key, trusted.issuer, self._now())
        if subject.expires_at is not None:
            self._accepted.put(token, subject, subject.expires_at, trusted.keys)
        return subject

    async def _introspected(self, token: bytes, introspector: Introspector) -> Subject | Refusal:
        answer = await introspector.ask(token)
        if isinstance(answer.outcome, Subject):
            self._accepted.put(token, answer.outcome, answer.until)
            return answer.outcome
        refusal = refused(answer.outcome)
        self._refused.put(token, refusal, answer.until)
        return refusal
