"""Which connections over HTTP/1.1 take another call."""

import pytest

from soak.http1 import Http1Line
from tests.support.memory import MemoryTransport

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(("sent", "free"), [(b"whole", True), (b"wh", False)])
async def test_only_a_whole_request_leaves_room_for_another(sent: bytes, free: bool) -> None:
    """A call that is given up in the middle of its request may have been answered before, where its backend is gone."""
    line = Http1Line()
    line.connection_made(MemoryTransport())
    exchange = line.request("/a.B/C", {}, len(b"whole"))
    await exchange.send(sent)
    assert not line.free
    line.data_received(ANSWER)
    exchange.cancel()
    assert (line.idle, line.free) == (True, free)
