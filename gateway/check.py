"""Judges a configuration beyond its own text: certificates, descriptors, keys and backends.

Rule: a start judges with the same functions, so that what `check` finds fine starts.
"""

import asyncio
import contextlib
import ipaddress
import re
import ssl
from collections.abc import Collection, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import StartError
from gateway.front.listener import tls_context
from gateway.observe.tracing import tracing_problems
from gateway.policy.descriptors import Catalog, DescriptorsError, catalog, unknown_methods
from gateway.policy.rate_redis import redis_problem
from gateway.policy.tokens import TokenVerifier
from gateway.settings import Problem, Settings, SettingsError
from gateway.settings.problem import Key
from gateway.upstream.credentials import client_context, load_credentials
from gateway.upstream.factory import make_channels, make_upstream, uses_h2
from gateway.upstream.reflection import ReflectionError, reflect
from gateway.upstream.tls import CertificateError, Identity, load_identity, load_trust, refused_by_openssl

UNREACHED_HINT = "is a backend listening there, does it accept our certificate, and has its own the server_name?"

_HOST = re.compile(r"(\*\.)?[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*")
_SERVERS = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def run(settings: Settings, *, offline: bool) -> list[Problem]:
    """Everything that a start would find, and, unless `offline`, whether keys and backends can be reached."""
    problems = [*tracing_problems(settings), *certificate_problems(settings), *descriptor_file_problems(settings)]
    if not offline:
        problems += asyncio.run(_online_problems(settings, [] if problems else list(settings.upstreams)))
    elif any(isinstance(issuer.jwks, Path) for issuer in settings.auth.issuers):
        problems += asyncio.run(_key_problems(settings, offline=True))
    return problems


def all_problems(error: SettingsError) -> list[Problem]:
    """Those of a file that cannot be used: a wrong key is no reason to be silent about the certificates that the rest
    names. Not for a thread in which an event loop runs.
    """
    if error.partial is None:
        return error.problems
    told = {problem.key for problem in error.problems}
    found = [problem for problem in run(error.partial, offline=True) if problem.key not in told]
    certain = [problem for problem in found if not error.doubts(problem.key)]
    return sorted([*error.problems, *certain], key=lambda problem: problem.line or 0)


def certificate_problems(settings: Settings) -> Iterator[Problem]:
    """Certificates and keys that cannot be used, of listeners and upstreams."""
    for index, listener in enumerate(settings.listeners):
        if (tls := listener.tls) is None:
            continue
        key: Key = ("listeners", index, "tls")
        try:
            identity = load_identity(tls.certificate, tls.private_key)
            for misfit in misfits(tls.certificate, identity):
                yield settings.problem((*key, misfit.field), misfit.message, misfit.hint)
            if tls.client_ca is not None:
                load_trust("client_ca", tls.client_ca)
            try:
                tls_context(tls, http2=listener.http2)
            except (ssl.SSLError, OSError) as error:
                raise refused_by_openssl(error) from None
        except CertificateError as error:
            yield settings.problem((*key, error.field), error.message, error.hint)
    for name, upstream in settings.upstreams.items():
        try:
            credentials = load_credentials(upstream)
            if credentials is not None and upstream.tls is not None and uses_h2(upstream):
                client_context(credentials, upstream.tls)
        except CertificateError as error:
            yield settings.problem(("upstreams", name, "tls", error.field), error.message, error.hint)


@contextlib.contextmanager
def placing_certificates(settings: Settings) -> Iterator[None]:
    """SettingsError in place of CertificateError, which says where it is named; StartError if it changed while it was
    read, and can be used by now.
    """
    try:
        yield
    except CertificateError as error:
        if problems := list(certificate_problems(settings)):
            raise SettingsError(problems) from None
        raise StartError(error.message) from None


def misfits(path: Path, identity: Identity) -> Iterator[CertificateError]:
    """Why no browser takes a certificate for a server's: it looks for the host among the SANs, never in the CN (RFC
    9110, section 4.3.4), and for serverAuth where there is an extendedKeyUsage (RFC 5280, section 4.2.1.12).
    """
    leaf = x509.load_pem_x509_certificate(identity.certificate)
    try:
        extensions = [extension.value for extension in leaf.extensions]
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return  # OpenSSL judges what cannot be read
    names = [name for one in extensions if isinstance(one, x509.SubjectAlternativeName) for name in one]
    usages = [usage for one in extensions if isinstance(one, x509.ExtendedKeyUsage) for usage in one]
    if not any(isinstance(name, x509.DNSName | x509.IPAddress) for name in names):
        yield CertificateError(
            "certificate",
            f"{path} names no host as SAN, so no browser takes it: its CN does not count",
            f"issue it anew, as openssl req -addext subjectAltName={_san(leaf)} does; "
            "openssl x509 -req needs -copy_extensions copy",
        )
    if usages and _SERVERS.isdisjoint(usages):
        yield CertificateError(
            "certificate",
            f"{path} is not for servers: its extendedKeyUsage lacks serverAuth",
            "issue it anew with extendedKeyUsage serverAuth, or without any; is it the certificate of a client?",
        )


def _san(leaf: x509.Certificate) -> str:
    """The SAN that the CN is meant as, as openssl writes it."""
    names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}" if _HOST.fullmatch(name) else "DNS:HOST"


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


def key_problems(settings: Settings, tokens: TokenVerifier, late: Collection[str] = ()) -> Iterator[Problem]:
    """Issuers of `tokens`, which has been started, whose keys have not come, save those that may be `late`."""
    for index, issuer in enumerate(settings.auth.issuers):
        keys = tokens.key_sets.get(issuer.issuer)
        if keys is not None and not keys.ready and issuer.issuer not in late:
            message, hint = "no keys came", "is the issuer up, and its address right, to the last slash?"
            if isinstance(issuer.jwks, Path):
                message, hint = f"no keys in {issuer.jwks}", 'it must be a key set, {"keys": [...]} (RFC 7517)'
            reason = f": {keys.problem}" if keys.problem else ""
            yield settings.problem(("auth", "issuers", index, "jwks"), message + reason, keys.hint or hint)


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


async def _key_problems(settings: Settings, *, offline: bool = False) -> list[Problem]:
    """Offline, of key sets in files."""
    issuers = [issuer for issuer in settings.auth.issuers if isinstance(issuer.jwks, Path) or not offline]
    tokens = TokenVerifier(settings.auth.model_copy(update={"issuers": tuple(issuers)}))
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
                message, hint = "no target can be reached", UNREACHED_HINT
                if upstream.problem is not None:
                    message, hint = f"{message}: {upstream.problem}", upstream.problem.hint
                problems.append(settings.problem(key, message, hint))
        if settings.authorization.descriptors == "reflection" and upstreams and not problems:
            try:
                problems += rule_problems(settings, await reflected_catalog(settings))
            except (ReflectionError, DescriptorsError) as error:
                problems.append(settings.problem(("authorization", "descriptors"), str(error)))
    finally:
        for upstream in upstreams:
            await upstream.close()
    return problems
