"""What requests are served by: one configuration, taken once at the head of each."""

from dataclasses import dataclass

from gateway.ends import Roadside
from gateway.front.reception import Reception


@dataclass(frozen=True, slots=True)
class FrontSnapshot:
    """The same for every front."""

    reception: Reception
    road: Roadside
    body_stall: float | None  # seconds
