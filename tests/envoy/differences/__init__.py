"""The table: every difference between the gateway and Envoy that is known.

row.py         what a row is, and where it holds
tokens.py      tokens that Envoy lets through and the gateway does not; by_envoy.py: the rest of that
by_gateway.py  what the gateway lets through and Envoy does not
refusals.py    what both refuse
cors.py        preflights, and what pages may read
requests.py    what the backend sees of a call
statuses.py    where statuses stand, and odd ones
replies.py     whole replies; broken.py: those that are not
"""

from collections.abc import Mapping, Sequence

from tests.envoy.differences import (
    broken,
    by_envoy,
    by_gateway,
    cors,
    malformed,
    refusals,
    replies,
    requests,
    statuses,
    tokens,
)
from tests.envoy.differences.row import Row

BY_ENVOY = "Envoy lets it through to the backend, the gateway does not"
BY_GATEWAY = "The gateway lets it through to the backend, Envoy does not"
LET_THROUGH = (BY_ENVOY, BY_GATEWAY)
TABLE: Mapping[str, Sequence[Row]] = {
    BY_ENVOY: [*tokens.ROWS, *by_envoy.ROWS],
    BY_GATEWAY: by_gateway.ROWS,
    "Both refuse it, each in its way": [*refusals.ROWS, *malformed.ROWS],
    "What pages are told": cors.ROWS,
    "What the backend is told": requests.ROWS,
    "Statuses": statuses.ROWS,
    "Replies": replies.ROWS,
    "Replies that break": broken.ROWS,
}
