"""What gateway.yaml says and Envoy has no words for, or other ones.

Rule: nothing is left out in silence. What would leave a door open, or could not work, is an obstacle and stops the
rendering; what Envoy does in another way is a difference, and is told.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gateway.envoy.admin import numeric
from gateway.envoy.clusters import is_ip, server_names
from gateway.envoy.files import Files, system_authorities
from gateway.envoy.tokens import clock_skew
from gateway.settings import Address, Problem, Settings, Upstream
from gateway.settings.problem import Finding, Key
from gateway.settings.quantity import format_duration


def obstacles(settings: Settings, uris: Mapping[str, str]) -> list[Problem]:
    """Every key for which there is no configuration. `uris`: where discovered key sets are."""
    found = (
        *_bind_obstacles(settings),
        *_auth_obstacles(settings, uris),
        *_upstream_obstacles(settings),
        *_limit_obstacles(settings),
    )
    return _told(settings, found)


def differences(settings: Settings, files: Files) -> list[Problem]:
    """Every key that means something else."""
    found = (
        *_listener_differences(settings, files),
        *_cors_differences(settings),
        *_token_differences(settings),
        *_authorization_differences(settings),
        *_upstream_differences(settings, files),
        *_limit_differences(settings),
        *_operation_differences(settings),
    )
    return _told(settings, found)


def _told(settings: Settings, findings: Iterable[Finding]) -> list[Problem]:
    problems = [settings.problem(found.key, found.message, found.hint) for found in findings]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _bind_obstacles(settings: Settings) -> Iterator[Finding]:
    binds: list[tuple[Key, Address]] = [
        (("listeners", index, "bind"), listener.bind) for index, listener in enumerate(settings.listeners)
    ]
    if settings.admin is not None:
        binds.append((("admin", "bind"), settings.admin.bind))
        if settings.admin.bind.port == 0 and not settings.admin.bind.is_loopback:
            yield Finding(("admin", "bind"), "Envoy needs a port here that others can know", "choose one")
    for key, bind in binds:
        if not is_ip(numeric(bind.host)):
            yield Finding(key, f"Envoy listens on addresses, not on names: {bind.host}", "write the address")


def _auth_obstacles(settings: Settings, uris: Mapping[str, str]) -> Iterator[Finding]:
    if settings.auth.introspection is not None:
        hint = "an ext_authz service of your own can, or have the issuer give JWTs"
        yield Finding(("auth", "introspection"), "Envoy cannot ask about opaque tokens", hint)
    for index, issuer in enumerate(settings.auth.issuers):
        if issuer.jwks == "discover" and issuer.issuer not in uris:
            hint = f"write the jwks_uri of {issuer.issuer.removesuffix('/')}/.well-known/openid-configuration here"
            yield Finding(("auth", "issuers", index, "jwks"), "Envoy cannot discover key sets", hint)
    for index, rule in enumerate(settings.authorization.rules):
        for number, identity in enumerate(rule.identities):
            if identity.startswith("CN:"):
                key: Key = ("authorization", "rules", index, "identities", number)
                yield Finding(
                    key, f"Envoy's rules know no common name: {identity}", "name a URI, DNS:…, IP:… or email:…"
                )


def _upstream_obstacles(settings: Settings) -> Iterator[Finding]:
    for name, upstream in settings.upstreams.items():
        key: Key = ("upstreams", name, "targets")
        sockets = [target.startswith("unix:") for target in upstream.targets]
        if any(sockets) and not all(sockets):
            yield Finding(key, "Envoy cannot mix sockets (unix:) and hosts in one cluster", "use one kind only")
        if _unnamed(upstream):
            hint = "name one that stands in all their certificates"
            message = "is missing: Envoy checks one name, or the host names of targets, but not different addresses"
            yield Finding(("upstreams", name, "tls", "server_name"), message, hint)
        for index, target in enumerate(upstream.targets):
            if target.startswith("xds:"):
                yield Finding((*key, index), f"Envoy has its own xDS and no xds: targets: {target}", "name hosts")
            elif target.startswith("dns://") and not target.startswith("dns:///"):
                hint = "write dns:///HOST:PORT"
                yield Finding((*key, index), f"a name server of its own is not rendered: {target}", hint)


def _unnamed(upstream: Upstream) -> bool:
    """Whether backends would have different names, some of which Envoy could not check."""
    if upstream.tls is None or any(target.startswith("xds:") for target in upstream.targets):
        return False
    names = server_names(upstream)
    return len(names) > 1 and any(map(is_ip, names))


def _limit_obstacles(settings: Settings) -> Iterator[Finding]:
    limits = settings.limits
    if limits.rate:
        hint = "Envoy's local_ratelimit or a rate limit service can; add it by hand and leave this out"
        yield Finding(("limits", "rate"), "is not rendered", hint)
    if limits.max_calls_per_peer is not None:
        yield Finding(("limits", "max_calls_per_peer"), "Envoy does not count calls of one address", "leave it out")


def _listener_differences(settings: Settings, files: Files) -> Iterator[Finding]:
    for index, listener in enumerate(settings.listeners):
        if listener.tls is not None:
            yield _renewal(("listeners", index, "tls", "certificate"), files)
        if listener.http2:
            yield Finding(
                ("listeners", index, "http2"), "native gRPC is refused with 2 (UNKNOWN): only gRPC-Web may call"
            )


def _renewal(key: Key, files: Files) -> Finding:
    if files.watched:
        return Finding(
            key, "is seen when it is moved into place, not when it is written over; for new connections only"
        )
    return Finding(key, "is read once, at the start", "with -o FILE it is watched: SDS files are written beside FILE")


def _cors_differences(settings: Settings) -> Iterator[Finding]:
    if settings.cors.allow_origins:
        message = "metadata of a reply is hidden from pages unless its name is listed here"
        yield Finding(("cors", "expose_headers"), message)


def _token_differences(settings: Settings) -> Iterator[Finding]:
    for index, issuer in enumerate(settings.auth.issuers):
        key: Key = ("auth", "issuers", index)
        if isinstance(issuer.jwks, Path):
            yield Finding(
                (*key, "jwks"), "is read once, at the start; use, key_ops and size of its keys are not judged"
            )
        elif issuer.jwks == "discover":
            yield Finding((*key, "jwks"), "was discovered now; Envoy does not see when the issuer moves its keys")
        wrong = "a token of another one is refused with 7 (PERMISSION_DENIED), not 16"
        yield Finding((*key, "token_types"), wrong)
        yield Finding((*key, "algorithms"), wrong)
        message = f"counts for exp, too: a token works for {format_duration(clock_skew(issuer))} after it has expired"
        yield Finding((*key, "leeway"), message, None if issuer.leeway <= 1 else "write 1s if the clocks are good")
        yield Finding((*key, "max_lifetime"), "limits what is left until exp, not exp - iat")
    if settings.auth.issuers:
        message = "a stream goes on when its token expires" + (
            "" if settings.limits.max_deadline else "; limits.max_deadline would end it"
        )
        yield Finding(("auth", "issuers"), message)
    if settings.auth.forward_claims:
        yield Finding(("auth", "forward_claims"), "only texts, whole numbers and true or false, and not encoded")


def _authorization_differences(settings: Settings) -> Iterator[Finding]:
    authorization = settings.authorization
    if any(rule.identities for rule in authorization.rules):
        message = (
            "who has neither token nor certificate is refused with 7, not 16; a certificate for *.x has all its names"
        )
        yield Finding(("authorization", "rules"), message)
    elif not settings.auth.issuers:
        yield Finding(("auth", "issuers"), "there are none, and a refusal is 7 (PERMISSION_DENIED), not 16")
    if authorization.descriptors is not None:
        message = "the rules were judged by it now; Envoy does not know it"
        if authorization.descriptors == "reflection":
            message = "the rules were not judged by it: grpcweb-gateway check does"
        yield Finding(("authorization", "descriptors"), message)
    if authorization.shadow:
        message = "what would be denied is not logged but counted: stat *.rbac.shadow.shadow_denied"
        yield Finding(("authorization", "shadow"), message)


def _upstream_differences(settings: Settings, files: Files) -> Iterator[Finding]:
    for name, upstream in settings.upstreams.items():
        key: Key = ("upstreams", name)
        if upstream.tls is not None and upstream.tls.ca is None:
            yield Finding(
                (*key, "tls", "ca"), f"there is none, so {system_authorities()} of Envoy's machine is trusted"
            )
        if upstream.transport != "auto":
            yield Finding((*key, "transport"), "Envoy has its own HTTP/2")
        if upstream.connections != 1:
            message = "Envoy opens one connection for each thread and target, and more when that has no stream left"
            yield Finding((*key, "connections"), message)
        if upstream.tls is not None and upstream.tls.certificate is not None:
            yield _renewal((*key, "tls", "certificate"), files)


def _limit_differences(settings: Settings) -> Iterator[Finding]:
    limits = settings.limits
    for name in ("max_request_message", "max_response_message"):
        yield Finding(("limits", name), "Envoy does not look at messages: none is too long")
    yield Finding(("limits", "max_metadata"), "Envoy measures all headers together, at most 64 KiB, and answers 431")
    yield Finding(("limits", "body_stall"), "holds for readers; a request body that stands still is not ended")
    message = "holds for each upstream; more are refused with 14 (UNAVAILABLE), not 8"
    yield Finding(("limits", "max_calls"), message)
    if limits.stream_idle is not None:
        yield Finding(("limits", "stream_idle"), "a stream that has begun is cut off, without a status")
    if limits.default_deadline is not None or limits.max_deadline is not None:
        key = "max_deadline" if limits.max_deadline is not None else "default_deadline"
        yield Finding(("limits", key), "a stream that has begun is cut off at its deadline, without a status")


def _operation_differences(settings: Settings) -> Iterator[Finding]:
    if settings.admin is not None:
        message = "Envoy's own pages: /ready and /stats/prometheus"
        if not settings.admin.bind.is_loopback:
            message = "Envoy's own pages stay on 127.0.0.1; here are /healthz, /readyz and /metrics"
        yield Finding(("admin", "bind"), message)
    yield Finding(("drain",), "SIGTERM ends Envoy at once; POST /drain_listeners?graceful on its admin address first")
