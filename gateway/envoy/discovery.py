"""Key sets that gateway.yaml leaves to discovery: Envoy has to be told where they are."""

import asyncio

from gateway.policy.fetch import Fetcher, FetchError
from gateway.policy.keys import discover
from gateway.settings import Problem, Settings, SettingsError


async def discovered(settings: Settings) -> dict[str, str]:
    """The `jwks_uri` of each issuer with `jwks: discover`. Raises SettingsError naming those that do not answer."""
    fetcher = Fetcher()
    asked = [index for index, issuer in enumerate(settings.auth.issuers) if issuer.jwks == "discover"]
    try:
        answers = await asyncio.gather(*(_ask(settings, index, fetcher) for index in asked))
    finally:
        await fetcher.close()
    if problems := [answer for answer in answers if isinstance(answer, Problem)]:
        raise SettingsError(problems)
    return {settings.auth.issuers[index].issuer: str(answer) for index, answer in zip(asked, answers, strict=True)}


async def _ask(settings: Settings, index: int, fetcher: Fetcher) -> str | Problem:
    try:
        return await discover(settings.auth.issuers[index].issuer, fetcher)
    except (FetchError, ValueError) as error:
        reason = str(error) if isinstance(error, FetchError) else "the metadata is not JSON"
        hint = "write its jwks_uri here: Envoy cannot discover key sets by itself"
        return settings.problem(("auth", "issuers", index, "jwks"), f"discovery failed: {reason}", hint)
