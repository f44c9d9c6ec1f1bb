"""Which client an upstream is called with.

Rule: `auto` is HTTP/2 of our own, save for targets that only grpcio can resolve.
"""

from gateway.settings import Limits
from gateway.settings import Upstream as UpstreamSettings
from gateway.settings.target import needs_grpcio
from gateway.upstream.base import Upstream
from gateway.upstream.channels import Channels
from gateway.upstream.grpcio import GrpcioUpstream
from gateway.upstream.h2 import H2Upstream
from gateway.upstream.h2_stream import MessageLimits
from gateway.upstream.pool import Pool
from gateway.version import USER_AGENT


def make_upstream(name: str, settings: UpstreamSettings, limits: Limits) -> Upstream:
    """Reads the certificates; raises CertificateError."""
    if settings.transport == "h2" or (settings.transport == "auto" and not any(map(needs_grpcio, settings.targets))):
        sizes = MessageLimits(limits.max_request_message, limits.max_response_message)
        return H2Upstream(name, Pool(name, settings, USER_AGENT), sizes)
    return GrpcioUpstream(name, make_channels(settings, limits), max_request=limits.max_request_message)


def make_channels(settings: UpstreamSettings, limits: Limits) -> Channels:
    """The same backends for grpcio. Reads the certificates; raises CertificateError."""
    return Channels(settings, max_response=limits.max_response_message, user_agent=USER_AGENT)
