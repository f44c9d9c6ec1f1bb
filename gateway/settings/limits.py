"""`limits`: how much one call, one client and all of them may ask for."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.settings.kind import Text
from gateway.settings.model import Section
from gateway.settings.quantity import Count, Duration, Size
from gateway.settings.rate import RATE_PATTERN, STORAGE_PATTERN, parse_rate, read_rate, read_storage

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
LONGEST_MESSAGE = 2 * GIB - 1  # grpc-core counts message bytes in an int32
STORAGES = ("memory", "rediss://:${REDIS_PASSWORD}@cache.internal:6379/0")


class Rate(Section):
    """How often one subject, peer or method may call."""

    key: Literal["subject", "peer", "method"]
    """What is counted."""
    limit: Annotated[str, Text(read_rate, RATE_PATTERN, ("100/second",))]
    """Calls per second, minute or hour."""
    burst: Annotated[int | None, Count(none=True)] = None
    """Calls at once; without it, as many as the limit."""

    @property
    def most(self) -> int:
        """Calls at once."""
        return parse_rate(self.limit)[0] if self.burst is None else self.burst

    @property
    def window(self) -> float:
        """Seconds in which the limit allows `most` calls."""
        calls, seconds = parse_rate(self.limit)
        return self.most * seconds / calls


class Limits(Section):
    """Security limits; all are per worker, but for rates that are counted in Redis."""

    max_request_message: Annotated[int, Size(1, LONGEST_MESSAGE)] = 4 * MIB
    """Longest message of a request."""
    max_response_message: Annotated[int, Size(1, LONGEST_MESSAGE)] = 16 * MIB
    """Longest message of a reply."""
    max_metadata: Annotated[int, Size(KIB, 16 * KIB)] = 8 * KIB
    """Names and values of a call's metadata together. Backends on grpc-core may refuse any more than 8KiB."""
    default_deadline: Annotated[float | None, Duration(none=True)] = None
    """For calls without grpc-timeout."""
    max_deadline: Annotated[float | None, Duration(none=True)] = None
    """Longer deadlines are cut to this; calls without one get it."""
    stream_idle: Annotated[float | None, Duration(none=True)] = None
    """A call on which nothing moves for so long ends."""
    body_stall: Annotated[float, Duration(minimum=0.1)] = 30.0
    """How long a request body, or a reader, may stand still."""
    max_calls: Annotated[int, Count()] = 1000
    """Calls at once."""
    max_calls_per_peer: Annotated[int | None, Count(none=True)] = None
    """Calls at once of one address, or of one IPv6 /64."""
    max_connections: Annotated[int, Count()] = 10000
    """Connections at once."""
    max_connection_age: Annotated[float | None, Duration(minimum=1.0, none=True)] = None
    """Older connections are told to go, 10 % sooner or later; calls on them go on to their end."""
    rate: tuple[Rate, ...] = ()
    """Calls per time; a call must be within all of them."""
    rate_storage: Annotated[str, Text(read_storage, STORAGE_PATTERN, STORAGES), Field(repr=False)] = "memory"
    """Where rates are counted: memory, or the URL of a Redis, which replicas and workers then share."""
    rate_storage_failure: Literal["refuse", "allow"] = "refuse"
    """What becomes of calls while Redis does not answer."""
