"""Which client an upstream is called with.

Rule: `auto` is HTTP/2 of our own, save for targets that only grpcio can resolve.
"""

import time

from gateway.settings import Limits
from gateway.settings import Upstream as UpstreamSettings
from gateway.settings.target import needs_grpcio
from gateway.upstream.base import Upstream
from gateway.upstream.call_bound import CallBound
from gateway.upstream.channels import Channels
from gateway.upstream.grpcio import GrpcioUpstream
from gateway.upstream.h2 import H2Upstream
from gateway.upstream.h2_stream import MessageLimits
from gateway.upstream.pool import Pool
from gateway.upstream.retries import Retries, RetryBudget
from gateway.version import USER_AGENT


def make_upstream(name: str, settings: UpstreamSettings, limits: Limits) -> Upstream:
    """Reads the certificates; raises CertificateError."""
    bound = CallBound.of(limits.max_calls, settings.max_calls)
    if uses_h2(settings):
        sizes = MessageLimits(limits.max_request_message, limits.max_response_message)
        pool = Pool(name, settings, USER_AGENT)
        return H2Upstream(name, pool, sizes, bound=bound, retries=_retries(settings, limits))
    return GrpcioUpstream(name, make_channels(settings, limits), max_request=limits.max_request_message, bound=bound)


def _retries(settings: UpstreamSettings, limits: Limits) -> Retries | None:
    if not settings.idempotent_methods:
        return None
    return Retries(settings.idempotent_methods, RetryBudget(limits.max_calls, time.monotonic))


def uses_h2(settings: UpstreamSettings) -> bool:
    """Over HTTP/2 of our own, and TLS of OpenSSL; the others go over grpcio, which brings its own of both."""
    if settings.transport == "auto":
        return not any(map(needs_grpcio, settings.targets))
    return settings.transport == "h2"


def make_channels(settings: UpstreamSettings, limits: Limits) -> Channels:
    """The same backends for grpcio. Reads the certificates; raises CertificateError."""
    return Channels(settings, max_response=limits.max_response_message, user_agent=USER_AGENT)
