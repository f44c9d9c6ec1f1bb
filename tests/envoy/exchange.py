"""What came of one request, over whichever version of HTTP, and how long is waited for it."""

from dataclasses import dataclass, field

from gateway.protocol.metadata import Headers
from tests.support.wire import Answer

PATIENCE = 2.5  # seconds for an answer: no case takes half of it
PROMPT = 1.0  # seconds for the backend to learn that the client left


@dataclass
class Exchange:
    """`how` is whole, cut off, left, no answer, or hung; `connection` kept, closed, stuck."""

    answer: Answer | None = None
    how: str = "no answer"
    continued: bool = False  # 100 Continue was said
    more: list[int] = field(default_factory=list)  # HTTP statuses of further answers
    connection: str = "closed"
    trailers: Headers = field(default_factory=list)  # of HTTP
    reset: str = ""  # RST_STREAM in place of an answer, by the name of its error code
