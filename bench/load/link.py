"""A connection to a subject that never blocks, plain or over TLS."""

import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from bench.process import BenchError

BLOCK = 256 * 1024
PATIENCE = 10.0  # seconds to connect, the handshake included


class Link:
    """`fileno` is for edge-triggered polling: every event asks for `flush` and `receive`."""

    def __init__(self, url: str, ca: Path, protocol: str) -> None:
        """`protocol`: of ALPN. Raises BenchError, OSError."""
        address = urlsplit(url)
        self.authority = address.netloc
        self.ended = False
        self._unsent = b""
        self._socket = socket.create_connection((address.hostname, address.port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            context.set_alpn_protocols([protocol])
            secure = context.wrap_socket(self._socket, server_hostname=address.hostname)
            self._socket = secure
            # A server without ALPN speaks HTTP/1.1.
            if (spoken := secure.selected_alpn_protocol() or "http/1.1") != protocol:
                self.close()
                raise BenchError(f"{url} speaks {spoken}, not {protocol}")
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Hands over what could not be sent yet, as far as there is room."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return

    def receive(self) -> bytes:
        """All that is there. Sets `ended` when the other side has closed the connection after it."""
        blocks: list[bytes] = []
        try:
            while block := self._socket.recv(BLOCK):
                blocks.append(block)
            self.ended = True
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)
