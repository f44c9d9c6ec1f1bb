"""What requests are served by: one configuration, taken once at the head of each."""

from dataclasses import dataclass

from gateway.ends import Roadside
from gateway.front.reception import Reception
from gateway.protocol.status import Code, Status

STALLED = Status(Code.DEADLINE_EXCEEDED, "the request body stopped arriving")  # after `body_stall`


@dataclass(frozen=True, slots=True)
class FrontSnapshot:
    """The same for every front."""

    reception: Reception
    road: Roadside
    body_stall: float  # seconds in which a body has to go on, or a reader to take something
