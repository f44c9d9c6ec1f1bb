"""A backend of streams in a process of its own, over mutual TLS: HTTP/2 by ngh2, messages ready-made. Prints its port.

python -m bench.ngh2_backend CA CERTIFICATE PRIVATE_KEY

Rule: each message is in a DATA frame of its own, as from a backend that says one thing at a time; whoever relays has so
many to deal with. Such frames are written here, many with one copy, since ngh2 would put what waits into one frame, and
a call for each would cost more than Envoy spends on it. They leave as fast as flow control and the socket let them.
"""

import asyncio
import ssl
import sys
from pathlib import Path
from typing import cast

import uvloop
from ngh2 import Configuration, Connection, Role
from ngh2.events import DataReceived, RequestReceived, StreamClosed

from bench.load.http2 import DATA, http2_frame
from bench.methods import MANY, SMALL, WAIT, Method, frame

SETTINGS = {3: 20_000}  # MAX_CONCURRENT_STREAMS (RFC 9113, section 6.5.2)
UNLIMITED = (1 << 20, 1 << 20)  # thousands of idle streams may be given up at once
CONFIGURATION = Configuration(stream_reset_rate_limit=UNLIMITED, glitch_rate_limit=UNLIMITED)
BURST = 512  # messages of a stream before it is another's turn: a TLS record
HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
TRAILERS = [(b"grpc-status", b"0")]
METHODS = {method.path.encode(): method for method in (SMALL, MANY, WAIT)}


class Answer:
    """What is left to be sent on a stream."""

    __slots__ = ("ends", "frame", "left", "sent", "size", "stream")

    def __init__(self, stream: int, method: Method) -> None:
        message = frame(method.message)
        self.stream = stream
        self.frame = http2_frame(DATA, 0, stream, message)
        self.size = len(message)  # what a frame takes of a window
        self.left = method.count
        self.ends = method.ends
        self.sent = 0  # bytes that ngh2 does not know of


class Link(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._http2 = Connection(Role.SERVER, CONFIGURATION)
        self._asked: dict[int, bytes] = {}  # by stream: the path of a request that has not ended
        self._answers: dict[int, Answer] = {}  # by stream: those that have messages to send
        self._paused = False
        # Bytes that ngh2 does not know of: its windows are larger by them, and may be up to 2 GiB, which no run sends.
        self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._http2.initiate_connection(SETTINGS)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._http2.receive_data(data)
        for event in self._http2.events():
            if isinstance(event, RequestReceived):
                self._asked[event.stream_id] = next(value for name, value in event.headers if name == b":path")
                if event.end_stream:
                    self._begin(event.stream_id)
            elif isinstance(event, DataReceived):
                if event.end_stream:
                    self._begin(event.stream_id)
            elif isinstance(event, StreamClosed):
                self._asked.pop(event.stream_id, None)
                self._answers.pop(event.stream_id, None)
        self._send()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def _begin(self, stream: int) -> None:
        self._http2.send_response(stream, HEAD)
        self._answers[stream] = Answer(stream, METHODS[self._asked.pop(stream)])

    def _send(self) -> None:
        self._transport.write(self._http2.data_to_send())
        moved = True
        while moved and not self._paused:
            moved = False
            for answer in list(self._answers.values()):
                moved |= self._send_some(answer)

    def _send_some(self, answer: Answer) -> bool:
        """False: a window has no room for a message."""
        http2, stream = self._http2, answer.stream
        room = min(http2.remote_window_size - self._sent, http2.stream_remote_window_size(stream) - answer.sent)
        count = min(answer.left, room // answer.size, BURST)
        if count <= 0:
            return False
        self._transport.write(answer.frame * count)
        answer.left -= count
        answer.sent += count * answer.size
        self._sent += count * answer.size
        if not answer.left:
            del self._answers[stream]
            if answer.ends:
                http2.send_trailers(stream, TRAILERS)
                self._transport.write(http2.data_to_send())
        return True


async def serve(ca: Path, certificate: Path, private_key: Path) -> None:
    """Until it is ended by a signal. All three are PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    server = await asyncio.get_running_loop().create_server(Link, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(*(Path(name) for name in sys.argv[1:])))
