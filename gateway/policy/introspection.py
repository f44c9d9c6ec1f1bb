"""Opaque tokens: the authorization server is asked what they are worth (RFC 7662).

Rule: only `"active": true` counts, to the letter, and no answer means no. The server decides whom a token is for
(section 4), but what its answer does say must fit the configuration: `iss` must be one of the configured issuers, if
there are any, and `aud` one of that issuer's audiences, or of any issuer's if there is no `iss`. `sub` is required:
rules and backends need to know who calls. Without `exp` a stream under way is not ended.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote_plus

import aiohttp

from gateway.permit import Subject
from gateway.policy.claims import TokenError, date, is_meant_for, roles, subject_id
from gateway.policy.fetch import FailureLog, Fetcher, FetchError
from gateway.policy.strict_json import parse_object
from gateway.settings import Introspection, Issuer

MAX_AT_ONCE = 1000  # a security limit: questions under way
ROLES_FROM = ("scope", "roles", "realm_access.roles")  # when no issuer says where roles are


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a token now."""

    outcome: Subject | str  # a string is the reason code of a refusal
    until: float  # how long it may be believed, seconds since the epoch; 0.0: not at all


UNAVAILABLE = Answer("introspection_unavailable", 0.0)


class Introspector:
    """Asks at most once at a time about one token."""

    def __init__(
        self, settings: Introspection, issuers: Sequence[Issuer], fetcher: Fetcher, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._issuers = issuers
        self._fetcher = fetcher
        self._now = now
        self._failures = FailureLog("introspection_failed", url=settings.url.partition("?")[0])
        self._asking: dict[bytes, asyncio.Task[Answer]] = {}
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        self._headers = {
            "authorization": aiohttp.encode_basic_auth(
                quote_plus(settings.client_id), quote_plus(settings.client_secret.get_secret_value())
            )
        }

    async def ask(self, token: bytes) -> Answer:
        """The answer about `token`. Never raises; who leaves while others wait does not cancel the question."""
        task = self._asking.get(token)
        if task is None:
            if len(self._asking) >= MAX_AT_ONCE:
                return UNAVAILABLE
            task = self._asking[token] = asyncio.create_task(self._ask(token))
            task.add_done_callback(lambda _: self._asking.pop(token, None))
        await asyncio.wait({task})
        return UNAVAILABLE if task.cancelled() else task.result()

    async def close(self) -> None:
        tasks = set(self._asking.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, token: bytes) -> Answer:
        form = {"token": token.decode("latin-1"), "token_type_hint": "access_token"}
        try:
            claims = parse_object(await self._fetcher.post(self._settings.url, form, self._headers))
        except (FetchError, ValueError) as error:
            self._failures.add(str(error))
            return UNAVAILABLE
        until = self._now() + self._settings.cache
        try:
            subject = self._subject(claims)
        except TokenError as error:
            return Answer(error.reason, until)
        return Answer(subject, until if subject.expires_at is None else min(until, subject.expires_at))

    def _subject(self, claims: dict[str, object]) -> Subject:
        if claims.get("active") is not True:
            raise TokenError("token_inactive")
        expires_at = date(claims, "exp")
        if expires_at is not None and expires_at <= self._now():
            raise TokenError("token_expired")
        issuer = claims.get("iss", "")
        if not isinstance(issuer, str):
            raise TokenError("token_issuer")
        candidates = [known for known in self._issuers if issuer in ("", known.issuer)]
        if self._issuers and not candidates:
            raise TokenError("token_issuer")
        audiences = [name for known in candidates for name in known.audiences]
        if audiences and "aud" in claims and not is_meant_for(claims["aud"], audiences):
            raise TokenError("token_audience")
        return Subject(
            id=subject_id(claims),
            issuer=issuer,
            roles=roles(claims, [path for known in candidates for path in known.roles_from] or ROLES_FROM),
            claims=MappingProxyType(claims),
            expires_at=expires_at,
        )
