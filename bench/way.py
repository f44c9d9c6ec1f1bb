"""How calls reach a subject: which protocol, how many connections, how many calls at a time on each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Way:
    """`http2`: over TLS. `windows`: of a stream and of a connection, in bits, where the load generator has a say."""

    tls: bool = False
    http2: bool = False
    connections: int = 64
    streams: int = 1  # calls at a time on each
    windows: tuple[int, int] = (20, 24)  # 1 MiB and 16 MiB: no answer waits for them
