"""What the gate decides: a `Permit` or a `Refusal`, and the `Subject` it decided about.

Rule: permission is a type. An upstream stream opens only with a `Permit`, and only `policy/gate.py` makes one
(tests/unit/test_architecture.py looks for any other place that does).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.protocol.metadata import Header
from gateway.protocol.status import Status


@dataclass(frozen=True, slots=True)
class Subject:
    """Who calls, as a verified token says (RFC 7519, RFC 9068, or RFC 7662 for opaque tokens)."""

    id: str  # claim `sub`; empty: nobody
    issuer: str = ""  # claim `iss`
    roles: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(default_factory=dict, hash=False)
    expires_at: float | None = None  # claim `exp`, seconds since the epoch


NOBODY = Subject("")


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to open one upstream stream."""

    path: bytes  # the raw path that was judged: the one and only that may be dialled
    subject: Subject = NOBODY
    metadata: tuple[Header, ...] = ()  # what the gateway adds for the backend (`forward_claims`)
    expires_at: float | None = None  # the stream ends with UNAUTHENTICATED then; seconds since the epoch
    identity: str = ""  # of the client certificate, where that is what lets the call in
    forward_authorization: bool = True  # False: nobody has verified the Authorization header, so it stays here


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a call that may not go on. The client sees `status`, generic on purpose; the log sees `reason`."""

    status: Status
    reason: str  # a code for log and metric, e.g. "token_expired"
    metadata: tuple[Header, ...] = ()  # e.g. www-authenticate (RFC 6750, section 3)
    subject: Subject = NOBODY  # who was refused, where that is known
