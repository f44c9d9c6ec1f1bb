import time
import tracemalloc

import pytest

from gateway.protocol import frames
from gateway.protocol.frames import COMPRESSED, FEW_ALIKE, PREFIX_SIZE, TRAILERS, FrameSplitter, FrameWalker, frame
from gateway.protocol.status import Code, WireError

LIMIT = 1000

BODIES = [
    [],
    [(0, b"")],
    [(0, b"message")],
    [(COMPRESSED, b"squeezed"), (0, b"plain")],
    [(0, b""), (0, b""), (0, b"x")],
    [(0, b"x" * LIMIT), (0, b""), (0, b"y" * (LIMIT - 1))],
    [(0, b"four")] * 200,
    [(0, b"")] * 200,
    [(0, b"four")] * 100 + [(COMPRESSED, b"four")] + [(0, b"four")] * 100,
    [(0, b"\0\0\0\0")] * 70 + [(0, b"\0\0\0")] * 40 + [(0, b"four")] * 70,
    [(0, b"x" * 13)] * 100 + [(0, b"y" * (13 + 256))] * 100 + [(0, b"x" * 13)] * 33 + [(0, b"end")],
]
MANY = frame(b"good") * 3 * FEW_ALIKE

WRONG = [
    (b"\x80\0\0\0\0", Code.INVALID_ARGUMENT),
    (b"\x81\0\0\0\1x", Code.INVALID_ARGUMENT),
    (b"\x02\0\0\0\1x", Code.INVALID_ARGUMENT),
    (b"\xff\xff\xff\xff\xff", Code.INVALID_ARGUMENT),
    (b"\0\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED),
    (b"\0" + (LIMIT + 1).to_bytes(4, "big"), Code.RESOURCE_EXHAUSTED),
    (frame(b"x" * (LIMIT + 1)), Code.RESOURCE_EXHAUSTED),
    (frame(b"x" * (LIMIT + 1), COMPRESSED), Code.RESOURCE_EXHAUSTED),
]


def chunks(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def feed(reader: FrameWalker | FrameSplitter, body: list[bytes]) -> None:
    for chunk in body:
        reader.feed(chunk)


def test_frame() -> None:
    assert frame(b"abc") == b"\0\0\0\0\3abc"
    assert frame(b"", TRAILERS) == b"\x80\0\0\0\0"
    assert frame(b"x" * 258, COMPRESSED)[:PREFIX_SIZE] == b"\1\0\0\1\2"


@pytest.mark.parametrize("frames", BODIES)
@pytest.mark.parametrize("size", [1, 2, 4, 5, 6, 7, 1 << 20])
def test_whole_bodies_in_chunks(frames: list[tuple[int, bytes]], size: int) -> None:
    body = b"".join(frame(message, flags) for flags, message in frames)
    walker, splitter = FrameWalker(LIMIT), FrameSplitter(LIMIT)
    found = []
    for chunk in chunks(body, size):
        walker.feed(chunk)
        found += splitter.feed(chunk)
    walker.end()
    splitter.end()
    assert found == frames
    assert splitter.pending == 0
    assert walker.messages == len(frames)
    assert walker.compressed == any(flags for flags, _ in frames)


@pytest.mark.parametrize(("wrong", "code"), WRONG)
@pytest.mark.parametrize("before", [b"", frame(b"good"), MANY])
@pytest.mark.parametrize("size", [1, 4, 1 << 20])
def test_wrong_prefix_is_refused_at_once(wrong: bytes, code: Code, before: bytes, size: int) -> None:
    walker, splitter = FrameWalker(LIMIT), FrameSplitter(LIMIT)
    start = chunks(before + wrong[:PREFIX_SIZE], size)
    with pytest.raises(WireError) as walked:
        feed(walker, start)
    with pytest.raises(WireError) as split:
        feed(splitter, start)
    assert walked.value.status == split.value.status
    assert walked.value.status.code == code


@pytest.mark.parametrize(("wrong", "code"), WRONG)
def test_wrong_frame_that_fills_its_chunk(wrong: bytes, code: Code) -> None:
    for reader in (FrameWalker(LIMIT), FrameSplitter(LIMIT)):
        with pytest.raises(WireError) as error:
            reader.feed(wrong)
        assert error.value.status.code == code


@pytest.mark.parametrize("cut", range(1, len(frame(b"abc"))))
@pytest.mark.parametrize("before", [b"", frame(b"good"), MANY])
def test_truncated_body(cut: int, before: bytes) -> None:
    for reader in (FrameWalker(LIMIT), FrameSplitter(LIMIT)):
        reader.feed(before + frame(b"abc")[:cut])
        with pytest.raises(WireError) as error:
            reader.end()
        assert error.value.status.code == Code.INVALID_ARGUMENT


def test_a_message_counts_when_it_is_complete_and_is_compressed_from_its_prefix_on() -> None:
    walker = FrameWalker(LIMIT)
    body = frame(b"abc", COMPRESSED)
    walker.feed(body[:PREFIX_SIZE])
    assert (walker.messages, walker.compressed) == (0, True)
    walker.feed(body[PREFIX_SIZE:-1])
    assert walker.messages == 0
    walker.feed(body[-1:])
    assert walker.messages == 1


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_trailers_where_they_are_allowed(size: int) -> None:
    body = frame(b"abc") + frame(b"grpc-status:0\r\n", TRAILERS)
    walker, splitter = FrameWalker(LIMIT, trailers_allowed=True), FrameSplitter(LIMIT, trailers_allowed=True)
    found = []
    for chunk in chunks(body, size):
        walker.feed(chunk)
        found += splitter.feed(chunk)
    walker.end()
    splitter.end()
    assert (walker.messages, walker.compressed) == (1, False)
    assert found == [(0, b"abc"), (TRAILERS, b"grpc-status:0\r\n")]
    for reader in (walker, splitter):
        with pytest.raises(WireError):
            reader.feed(b"\x82\0\0\0\0")


def test_empty_trailers_are_no_message() -> None:
    walker = FrameWalker(LIMIT, trailers_allowed=True)
    walker.feed(frame(b"", TRAILERS))
    assert walker.messages == 0


def test_splitter_says_what_it_holds() -> None:
    splitter = FrameSplitter(LIMIT)
    assert splitter.feed(frame(b"done") + b"\0\0\0") == [(0, b"done")]
    assert splitter.pending == 3
    assert splitter.feed(b"\0\x05he") == []
    assert splitter.pending == 7
    assert splitter.feed(b"llo") == [(0, b"hello")]
    assert splitter.pending == 0


def kept() -> int:
    """Bytes of what was made here and in the module, and of nothing that other threads have made meanwhile."""
    ours = [tracemalloc.Filter(True, file) for file in (__file__, str(frames.__file__))]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(ours).traces)


def test_walker_keeps_no_message_bytes_and_splitter_keeps_no_more_than_it_was_sent() -> None:
    size = 4 << 20
    crumbs = [b"ab"] * 50_000
    walker, splitter = FrameWalker(size), FrameSplitter(size)
    tracemalloc.start()
    try:
        for reader, allowed in ((walker, 10_000), (splitter, 300_000)):
            before = kept()
            reader.feed(b"\0" + size.to_bytes(4, "big"))
            for crumb in crumbs:
                reader.feed(crumb + b"")
            assert kept() - before < allowed
    finally:
        tracemalloc.stop()


def test_splitting_is_linear() -> None:
    # Were the rest of the chunk copied for every frame, this would move 120 GB.
    splitter = FrameSplitter(LIMIT)
    body = frame(b"x") * 200_000
    start = time.process_time()
    assert len(splitter.feed(body[:3])) == 0
    assert len(splitter.feed(body[3:])) == 200_000
    assert time.process_time() - start < 3
