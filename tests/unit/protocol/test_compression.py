import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from gateway.protocol.compression import OPENED, MessageOpener, decompress
from gateway.protocol.frames import COMPRESSED, frame
from gateway.protocol.status import Code, WireError

COMPRESSORS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"identity": bytes,
}
PLAIN = b"a message that repeats itself, " * 20


def refused(encoding: bytes, message: bytes, limit: int = 10_000) -> Code:
    with pytest.raises(WireError) as error:
        decompress(encoding, message, limit)
    return Code(error.value.status.code)


@pytest.mark.parametrize("encoding", COMPRESSORS)
@pytest.mark.parametrize("plain", [b"", b"x", PLAIN])
def test_round_trip_up_to_the_limit(encoding: bytes, plain: bytes) -> None:
    message = COMPRESSORS[encoding](plain)
    assert decompress(encoding, message, 10_000) == plain
    assert decompress(encoding, message, len(plain)) == plain
    if plain:
        assert refused(encoding, message, len(plain) - 1) == Code.RESOURCE_EXHAUSTED
        assert refused(encoding, message, 0) == Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_bomb_costs_no_more_than_the_limit(encoding: bytes) -> None:
    bomb = COMPRESSORS[encoding](bytes(50 << 20))
    tracemalloc.start()
    try:
        assert refused(encoding, bomb, 100_000) == Code.RESOURCE_EXHAUSTED
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_corrupt_messages(encoding: bytes) -> None:
    message = COMPRESSORS[encoding](PLAIN)
    for cut in range(len(message)):
        assert refused(encoding, message[:cut]) == Code.INTERNAL
    assert refused(encoding, message + b"garbage") == Code.INTERNAL
    assert refused(encoding, message + b"\0") == Code.INTERNAL
    assert refused(encoding, b"garbage") == Code.INTERNAL
    check = -8 if encoding == b"gzip" else -4
    assert refused(encoding, message[:check] + bytes((message[check] ^ 1,)) + message[check + 1 :]) == Code.INTERNAL


def test_formats_are_not_guessed() -> None:
    assert refused(b"gzip", zlib.compress(PLAIN)) == Code.INTERNAL
    assert refused(b"deflate", gzip.compress(PLAIN)) == Code.INTERNAL
    assert refused(b"deflate", zlib.compress(PLAIN)[2:-4]) == Code.INTERNAL  # raw deflate


def test_gzip_members() -> None:
    members = gzip.compress(b"one, ") + gzip.compress(b"") + gzip.compress(b"two")
    assert decompress(b"gzip", members, 8) == b"one, two"
    assert refused(b"gzip", members, 7) == Code.RESOURCE_EXHAUSTED
    assert refused(b"gzip", members[:-1]) == Code.INTERNAL
    assert refused(b"deflate", zlib.compress(b"one") * 2) == Code.INTERNAL


def test_gzip_members_are_bounded() -> None:
    assert decompress(b"gzip", gzip.compress(b"x") * 64, 1000) == b"x" * 64
    assert refused(b"gzip", gzip.compress(b"") * 100_000) == Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("encoding", [b"", b"br", b"zstd", b"GZIP", b"snappy", b"gzip, gzip"])
def test_unknown_encoding(encoding: bytes) -> None:
    assert refused(encoding, b"") == Code.UNIMPLEMENTED


def judged(encoding: bytes, body: bytes, size: int, limit: int = 1000) -> Code | None:
    """What is found wrong with a body that passes in chunks of `size` bytes."""
    sizes = MessageOpener(encoding, limit)
    try:
        for start in range(0, len(body), size):
            for _ in sizes.feed(body[start : start + size]):
                pass
    except WireError as error:
        return Code(error.status.code)
    return None


@pytest.mark.parametrize("encoding", sorted(OPENED))
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_messages_that_pass_by_are_measured_as_they_are_once_opened(encoding: bytes, size: int) -> None:
    pack = COMPRESSORS[encoding]
    fits, too_large = frame(pack(bytes(1000)), COMPRESSED), frame(pack(bytes(1001)), COMPRESSED)
    assert len(too_large) < 100
    assert judged(encoding, fits * 3, size) is None
    assert judged(encoding, fits + frame(b"plain") + too_large, size) == Code.RESOURCE_EXHAUSTED
    assert judged(encoding, fits + frame(b"not packed", COMPRESSED), size) == Code.INTERNAL
    assert judged(encoding, fits + too_large[:-1], size) is None  # it is judged when it is whole


@pytest.mark.parametrize("encoding", sorted(OPENED))
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_messages_that_pass_by_are_opened(encoding: bytes, size: int) -> None:
    body = frame(COMPRESSORS[encoding](b"one" * 100), COMPRESSED) + frame(b"two") + frame(b"")
    opener = MessageOpener(encoding, 1000)
    opened = b"".join(each for start in range(0, len(body), size) for each in opener.feed(body[start : start + size]))
    assert opened == frame(b"one" * 100) + frame(b"two") + frame(b"")
    assert opener.pending == 0
    assert list(opener.feed(body[:7])) == []
    assert opener.pending == 7


@pytest.mark.parametrize("size", [1, 10_000])
def test_plain_messages_among_packed_ones_are_not_opened(size: int) -> None:
    assert judged(b"gzip", frame(b"plain") + frame(b""), size) is None
    assert judged(b"gzip", frame(bytes(1001)), size) == Code.RESOURCE_EXHAUSTED


def test_what_can_be_opened() -> None:
    assert {b"gzip", b"deflate"} == OPENED
