"""What takes more than one key to judge.

Rule: what contradicts itself, or could never have an effect, is refused; so is what would send a token or a call in
the clear unless it is asked for by name.
"""

import difflib
from collections.abc import Iterable, Iterator
from math import ceil, floor

from gateway.settings.address import Address
from gateway.settings.listener import Listener
from gateway.settings.problem import ANY, Finding, Key, spell
from gateway.settings.quantity import format_duration
from gateway.settings.rate import parse_rate
from gateway.settings.root import Settings
from gateway.settings.route import HEALTH_SERVICE, route
from gateway.settings.target import needs_grpcio
from gateway.settings.upstream import Upstream

SHORTEST_WINDOW, LONGEST_WINDOW = 0.1, 86400.0  # seconds that a burst is worth: between a clock's grain and a day
ADMIN: Key = ("admin", "bind")
TOKENS = (("auth", "issuers"), ("auth", "introspection"))
SERVICES: Key = ("upstreams", ANY, "services")


def findings(settings: Settings) -> Iterator[Finding]:
    """Everything that is wrong between the keys, section by section."""
    for index, listener in enumerate(settings.listeners):
        yield from _listener(("listeners", index), listener)
    yield from _binds(settings)
    yield from _cors(settings)
    yield from _issuers(settings)
    yield from _rules(settings)
    yield from _authenticated(settings)
    for name, upstream in settings.upstreams.items():
        yield from _upstream(("upstreams", name), upstream)
        yield from _tokens_in_the_clear(("upstreams", name), upstream, settings)
    yield from _services(settings)
    yield from _unserved(settings)
    yield from _deadlines(settings)
    yield from _shares(settings)
    yield from _peers(settings)
    yield from _rates(settings)


def _listener(key: Key, listener: Listener) -> Iterator[Finding]:
    tls = listener.tls
    if tls is None:
        if not listener.bind.is_loopback and not listener.allow_plaintext:
            yield Finding(
                (*key, "bind"),
                f"plaintext on {listener.bind}, which other machines can reach",
                "give it tls, bind it to 127.0.0.1, or write allow_plaintext: true behind something that does TLS",
                ((*key, "bind"), (*key, "tls"), (*key, "allow_plaintext")),
            )
        return
    needs = ((*key, "tls", "client_ca"), (*key, "tls", "client_auth"))
    if tls.client_auth != "none" and tls.client_ca is None:
        hint = "name the certificates that may sign those of clients"
        yield Finding((*key, "tls", "client_auth"), f"client_auth: {tls.client_auth} needs client_ca", hint, needs)
    if tls.client_auth == "none" and tls.client_ca is not None:
        hint = "write client_auth: optional or required, or remove client_ca"
        yield Finding((*key, "tls", "client_ca"), "has no effect: no client is asked for a certificate", hint, needs)


def _binds(settings: Settings) -> Iterator[Finding]:
    binds: list[tuple[Key, Address]] = [
        (("listeners", index, "bind"), listener.bind) for index, listener in enumerate(settings.listeners)
    ]
    if settings.admin is not None:
        written = "bind" in settings.admin.model_fields_set
        # Where nobody wrote it, it is the listener's line that has to be shown.
        binds.insert(len(binds) if written else 0, (ADMIN, settings.admin.bind))
    for number, (key, bind) in enumerate(binds):
        for earlier, taken in binds[:number]:
            if bind.overlaps(taken):
                whose = spell(earlier) if bind == taken else f"{spell(earlier)}, {taken}"
                hint = "choose another port" + (", or write another for admin.bind" if earlier == ADMIN else "")
                yield Finding(key, f"{bind} is taken by {whose}", hint, (key, earlier))
                break


def _cors(settings: Settings) -> Iterator[Finding]:
    if "*" in settings.cors.allow_origins and settings.cors.allow_credentials:
        key = ("cors", "allow_origins")
        hint = "name the origins, or remove allow_credentials"
        message = '"*" with allow_credentials: true would let every page act as its user'
        yield Finding(
            (*key, settings.cors.allow_origins.index("*")), message, hint, (key, ("cors", "allow_credentials"))
        )


def _issuers(settings: Settings) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, issuer in enumerate(settings.auth.issuers):
        if issuer.issuer in first:
            key = ("auth", "issuers", index, "issuer")
            earlier = ("auth", "issuers", first[issuer.issuer], "issuer")
            yield Finding(key, f"is the same as {spell(earlier)}", "join the two", (key, earlier))
        first.setdefault(issuer.issuer, index)


def _rules(settings: Settings) -> Iterator[Finding]:
    for index, rule in enumerate(settings.authorization.rules):
        key: Key = ("authorization", "rules", index)
        roles, identities = (*key, "roles"), (*key, "identities")
        if not rule.roles and not rule.identities:
            hint = "name roles or identities; methods for everyone go to auth.public_methods"
            yield Finding(key, "lets nobody in", hint, (roles, identities))
        if rule.roles and not _reads_tokens(settings):
            yield Finding(roles, "no token is believed, so nobody has a role", "add auth.issuers", (roles, *TOKENS))
        if rule.identities and not _asks_for_certificates(settings):
            hint = "set client_ca and client_auth under the tls of a listener"
            message = "no listener asks clients for a certificate"
            yield Finding(identities, message, hint, (identities, *_client_auths(settings)))


def _authenticated(settings: Settings) -> Iterator[Finding]:
    key = ("authorization", "default")
    if settings.authorization.default == "authenticated" and not _reads_tokens(settings):
        message = "authenticated, but no token is believed, so nobody is"
        yield Finding(key, message, "add auth.issuers", (key, *TOKENS))


def _reads_tokens(settings: Settings) -> bool:
    return bool(settings.auth.issuers) or settings.auth.introspection is not None


def _asks_for_certificates(settings: Settings) -> bool:
    return any(listener.tls and listener.tls.client_auth != "none" for listener in settings.listeners)


def _client_auths(settings: Settings) -> list[Key]:
    return [("listeners", index, "tls", "client_auth") for index in range(len(settings.listeners))]


def _upstream(key: Key, upstream: Upstream) -> Iterator[Finding]:
    yield from _transport(key, upstream)
    tls, needs = upstream.tls, ((*key, "tls"), (*key, "plaintext"))
    if tls is None and not upstream.plaintext:
        hint = "give it tls ({} trusts whom the system trusts), or write plaintext: true"
        yield Finding(key, "says neither tls nor plaintext", hint, needs)
    if tls is None:
        return
    if upstream.plaintext:
        yield Finding((*key, "plaintext"), "has tls and plaintext: true", "remove one of them", needs)
    pair = ((*key, "tls", "certificate"), (*key, "tls", "private_key"))
    if (tls.certificate is None) != (tls.private_key is None):
        given, missing = pair if tls.private_key is None else pair[::-1]
        yield Finding(given, f"needs {missing[-1]} beside it", None, pair)


def _transport(key: Key, upstream: Upstream) -> Iterator[Finding]:
    transport, balance, targets = (*key, "transport"), (*key, "balance"), (*key, "targets")
    foreign = next((index for index, target in enumerate(upstream.targets) if needs_grpcio(target)), None)
    if foreign is not None and upstream.transport == "h2":
        hint = "write transport: auto, which takes grpcio for it"
        yield Finding((*targets, foreign), "only grpcio can resolve this target", hint, (targets, transport))
    if upstream.balance == "least_request" and (upstream.transport == "grpcio" or foreign is not None):
        hint = "write transport: h2 and targets that it can resolve, or balance: round_robin"
        yield Finding(balance, "grpcio has no least_request", hint, (balance, transport, targets))
    if upstream.outlier_detection is not None and (upstream.transport == "grpcio" or foreign is not None):
        outliers = (*key, "outlier_detection")
        hint = "write transport: h2 and targets that it can resolve, or leave it out"
        yield Finding(outliers, "needs transport h2", hint, (outliers, transport, targets))


def _tokens_in_the_clear(key: Key, upstream: Upstream, settings: Settings) -> Iterator[Finding]:
    if upstream.plaintext and settings.auth.forward_authorization and not upstream.allow_insecure_tokens:
        needs: tuple[Key, ...] = (
            ("auth", "forward_authorization"),
            (*key, "plaintext"),
            (*key, "allow_insecure_tokens"),
        )
        hint = "give it tls, write auth.forward_authorization: false, or allow_insecure_tokens: true beside it"
        yield Finding(
            (*key, "plaintext"), "tokens would be sent in the clear (auth.forward_authorization)", hint, needs
        )


def _services(settings: Settings) -> Iterator[Finding]:
    first: dict[str, Key] = {}
    routes = (
        (service, ("upstreams", name, "services", index))
        for name, upstream in settings.upstreams.items()
        for index, service in enumerate(upstream.services)
    )
    for service, key in routes:
        if service in first:
            earlier = first[service]
            hint = "a service goes to one upstream; give that more targets"
            yield Finding(key, f"{service} is routed by {spell(earlier)}", hint, (key[:-1], earlier[:-1]))
        first.setdefault(service, key)


def _unserved(settings: Settings) -> Iterator[Finding]:
    """Methods of services for which there is no upstream, or another one."""
    services = {service: name for name, upstream in settings.upstreams.items() for service in upstream.services}
    written: list[tuple[Key, tuple[str, ...]]] = [
        (("authorization", "rules", index, "methods"), rule.methods)
        for index, rule in enumerate(settings.authorization.rules)
    ]
    for key, methods in [(("auth", "public_methods"), settings.auth.public_methods), *written]:
        for index, service in enumerate(map(_service_of, methods)):
            if service != HEALTH_SERVICE and route(service, services) is None:
                message = f"no upstream serves {service}"
                yield Finding((*key, index), message, _nearest(service, services), (key, SERVICES))
    for name, upstream in settings.upstreams.items():
        key = ("upstreams", name, "idempotent_methods")
        for index, service in enumerate(map(_service_of, upstream.idempotent_methods)):
            owner = route(service, services)
            if owner == name or service == HEALTH_SERVICE:
                continue
            hint = f"it goes to upstreams.{owner}: write it there" if owner else _nearest(service, upstream.services)
            yield Finding((*key, index), f"no call of {service} goes to this upstream", hint, (key, SERVICES))


def _service_of(method: str) -> str:
    return method.split("/")[1]


def _nearest(service: str, known: Iterable[str]) -> str:
    """Of a package, what has the same name there."""
    name = service.rpartition(".")[2]
    close = difflib.get_close_matches(service, [each.replace("*", name) for each in known], 1)
    return f"did you mean {close[0]}?" if close else "mend it, or add it to the services of an upstream"


def _deadlines(settings: Settings) -> Iterator[Finding]:
    limits, key = settings.limits, ("limits", "default_deadline")
    longest = limits.max_deadline
    if limits.default_deadline is not None and longest is not None and limits.default_deadline > longest:
        message = f"is longer than max_deadline, {format_duration(longest)}"
        yield Finding(key, message, None, (key, ("limits", "max_deadline")))


def _shares(settings: Settings) -> Iterator[Finding]:
    most = settings.limits.max_calls
    for name, upstream in settings.upstreams.items():
        if upstream.max_calls is not None and upstream.max_calls > most:
            key = ("upstreams", name, "max_calls")
            yield Finding(key, f"has no effect: limits.max_calls is {most}", None, (key, ("limits", "max_calls")))


def _peers(settings: Settings) -> Iterator[Finding]:
    limits, key = settings.limits, ("limits", "max_calls_per_peer")
    if limits.max_calls_per_peer is not None and limits.max_calls_per_peer > limits.max_calls:
        message = f"has no effect: max_calls is {limits.max_calls}"
        yield Finding(key, message, None, (key, ("limits", "max_calls")))


def _rates(settings: Settings) -> Iterator[Finding]:
    limits = settings.limits
    rate, storage, failure = ("limits", "rate"), ("limits", "rate_storage"), ("limits", "rate_storage_failure")
    for index, one in enumerate(limits.rate):
        key: Key = (*rate, index)
        if one in limits.rate[:index]:
            yield Finding(key, f"is the same as {spell((*rate, limits.rate.index(one)))}", "remove one of them")
        if not SHORTEST_WINDOW <= one.window <= LONGEST_WINDOW:
            calls, seconds = parse_rate(one.limit)
            least = ceil(calls * SHORTEST_WINDOW / seconds)
            most = floor(calls * LONGEST_WINDOW / seconds)
            message = f"must be from {least} to {most}, which {one.limit} allows in 100ms and in a day"
            yield Finding((*key, "burst"), message, None, ((*key, "burst"), (*key, "limit")))
    if limits.rate_storage != "memory" and not limits.rate:
        yield Finding(storage, "has no effect: no rate is counted", "remove it, or add limits.rate", (storage, rate))
    if limits.rate_storage == "memory" and limits.rate_storage_failure != "refuse":
        yield Finding(failure, "has no effect: memory does not fail", "remove it", (failure, storage))
