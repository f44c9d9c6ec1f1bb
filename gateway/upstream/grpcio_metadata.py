"""Metadata, from header bytes (protocol/metadata.py) to grpcio's pairs and back: text is str, `-bin` decoded bytes."""

from collections.abc import Iterable

from gateway.protocol.metadata import Header, Headers, decode_binary, encode_binary, reply_metadata

Pair = tuple[str, str | bytes]

GRPCIO_SETS = frozenset((b"te", b"grpc-encoding", b"grpc-accept-encoding", b"user-agent", b"content-type"))


def to_grpc(metadata: Headers) -> tuple[Pair, ...]:
    """Header bytes -> grpcio's pairs. What grpcio sets itself is left out."""
    return tuple(
        [
            (name.decode("ascii"), decode_binary(value) if name.endswith(b"-bin") else value.decode("ascii"))
            for name, value in metadata
            if name not in GRPCIO_SETS
        ]
    )


def from_grpc(metadata: Iterable[Pair] | None) -> Headers:
    """grpcio's pairs -> header bytes, cleaned of what no browser may see. Raises WireError: they are too long."""
    if not metadata:
        return []
    pairs: list[Header] = [
        (name.encode("ascii"), encode_binary(value) if isinstance(value, bytes) else value.strip(" \t").encode("utf-8"))
        for name, value in metadata
    ]
    return reply_metadata(pairs)
