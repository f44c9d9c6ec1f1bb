"""Judges a configuration beyond its own text: certificates, descriptors, keys and backends.

Rule: a start judges with the same functions, so that what `check` finds fine starts.
"""

import asyncio
import ssl
from collections.abc import Iterator

from gateway.front.listener import tls_context
from gateway.observe.tracing import tracing_problems
from gateway.policy.descriptors import Catalog, DescriptorsError, catalog, unknown_methods
from gateway.policy.rate_redis import redis_problem
from gateway.policy.tokens import TokenVerifier
from gateway.settings import Problem, Settings
from gateway.settings.problem import Key
from gateway.upstream.credentials import client_context, load_credentials
from gateway.upstream.factory import make_channels, make_upstream, uses_h2
from gateway.upstream.reflection import ReflectionError, reflect
from gateway.upstream.tls import CertificateError, load_identity, load_trust


def run(settings: Settings, *, offline: bool) -> list[Problem]:
    """Everything that a start would find, and, unless `offline`, whether keys and backends can be reached."""
    problems = [*tracing_problems(settings), *certificate_problems(settings), *descriptor_file_problems(settings)]
    if not offline:
        problems += asyncio.run(_online_problems(settings, [] if problems else list(settings.upstreams)))
    return problems


def certificate_problems(settings: Settings) -> Iterator[Problem]:
    """Certificates and keys that cannot be used, of listeners and upstreams."""
    for index, listener in enumerate(settings.listeners):
        if (tls := listener.tls) is None:
            continue
        key: Key = ("listeners", index, "tls")
        try:
            load_identity(tls.certificate, tls.private_key)
            if tls.client_ca is not None:
                load_trust("client_ca", tls.client_ca)
            tls_context(tls, http2=listener.http2)
        except CertificateError as error:
            yield settings.problem((*key, error.field), error.message, error.hint)
        except ssl.SSLError as error:
            yield settings.problem((*key, "certificate"), f"OpenSSL refuses it: {error.reason}", "make a stronger one")
    for name, upstream in settings.upstreams.items():
        try:
            credentials = load_credentials(upstream)
            if credentials is not None and upstream.tls is not None and uses_h2(upstream):
                client_context(credentials, upstream.tls)
        except CertificateError as error:
            yield settings.problem(("upstreams", name, "tls", error.field), error.message, error.hint)


def descriptor_file_problems(settings: Settings) -> list[Problem]:
    """What is wrong with descriptors from a file, and with rules that they do not bear out."""
    try:
        known = read_catalog(settings)
    except DescriptorsError as error:
        return [settings.problem(("authorization", "descriptors"), str(error))]
    return [] if known is None else list(rule_problems(settings, known))


def read_catalog(settings: Settings) -> Catalog | None:
    """The descriptors of the configured file, if it is a file. Raises DescriptorsError."""
    path = settings.authorization.descriptors
    if path is None or isinstance(path, str):
        return None
    try:
        return catalog(path.read_bytes())
    except OSError as error:
        raise DescriptorsError(f"cannot read {path}: {error.strerror}") from None


def rule_problems(settings: Settings, known: Catalog) -> Iterator[Problem]:
    """Rules that name methods which do not exist."""
    for rule, method, name, near in unknown_methods(settings.authorization, known):
        key = ("authorization", "rules", rule, "methods", method)
        yield settings.problem(key, f"no such method: {name}", f"did you mean {near}?" if near else None)


def key_problems(settings: Settings, tokens: TokenVerifier) -> Iterator[Problem]:
    """Issuers whose keys have not come; `tokens` has been started."""
    for index, issuer in enumerate(settings.auth.issuers):
        keys = tokens.key_sets[issuer.issuer]
        if not keys.ready:
            hint = "is the issuer up, and its address right, to the last slash?"
            reason = f": {keys.problem}" if keys.problem else ""
            yield settings.problem(("auth", "issuers", index, "jwks"), f"no keys came{reason}", hint)


async def reflected_catalog(settings: Settings) -> Catalog:
    """What the backends say they have. Raises ReflectionError, DescriptorsError, CertificateError."""
    methods: dict[str, bool] = {}
    asked = [reflect(name, make_channels(one, settings.limits)) for name, one in settings.upstreams.items()]
    for serialized in await asyncio.gather(*asked):
        methods |= catalog(serialized).methods
    return Catalog(methods)


async def _online_problems(settings: Settings, names: list[str]) -> list[Problem]:
    return [
        *await _key_problems(settings),
        *await _rate_problems(settings),
        *await _upstream_problems(settings, names),
    ]


async def _rate_problems(settings: Settings) -> list[Problem]:
    url = settings.limits.rate_storage
    if url == "memory" or (problem := await redis_problem(url)) is None:
        return []
    hint = "is Redis up, is its password right, and may its user run scripts?"
    return [settings.problem(("limits", "rate_storage"), f"calls cannot be counted at {problem}", hint)]


async def _key_problems(settings: Settings) -> list[Problem]:
    tokens = TokenVerifier(settings.auth)
    await tokens.start()
    try:
        return list(key_problems(settings, tokens))
    finally:
        await tokens.close()


async def _upstream_problems(settings: Settings, names: list[str]) -> list[Problem]:
    upstreams = [make_upstream(name, settings.upstreams[name], settings.limits) for name in names]
    problems = []
    try:
        for upstream in upstreams:
            upstream.start()
        reached = await asyncio.gather(*(upstream.reachable() for upstream in upstreams))
        for upstream, reachable in zip(upstreams, reached, strict=True):
            if not reachable:
                key = ("upstreams", upstream.name, "targets")
                hint = "is a backend listening there, does it accept our certificate, and has its own the server_name?"
                reason = f": {upstream.problem}" if upstream.problem else ""
                problems.append(settings.problem(key, f"no target can be reached{reason}", hint))
        if settings.authorization.descriptors == "reflection" and upstreams and not problems:
            try:
                problems += rule_problems(settings, await reflected_catalog(settings))
            except (ReflectionError, DescriptorsError) as error:
                problems.append(settings.problem(("authorization", "descriptors"), str(error)))
    finally:
        for upstream in upstreams:
            await upstream.close()
    return problems
