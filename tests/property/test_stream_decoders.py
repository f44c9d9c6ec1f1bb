"""Frames and text come out the same however the network cuts them, and nothing but WireError comes out of noise."""

import base64
import contextlib
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.frames import COMPRESSED, TRAILERS, FrameSplitter, FrameWalker, frame
from gateway.protocol.status import Code, Status, WireError
from gateway.protocol.text import TextDecoder, encode

LIMIT = 300

quick = settings(max_examples=150, deadline=None)
thorough = settings(max_examples=300, deadline=None)

messages = st.lists(st.tuples(st.sampled_from([0, COMPRESSED]), st.binary(max_size=LIMIT)), max_size=8)
cuts = st.lists(st.integers(0, 600), max_size=12)
# Noise that is likely to get past the first check.
framed_noise = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.binary(max_size=40).map(frame),
        st.builds(frame, st.binary(max_size=9), st.sampled_from([0, 1, 2, TRAILERS, 255])),
    ),
    max_size=6,
).map(b"".join)
text_noise = st.lists(st.sampled_from(b"AQgwRz+/==-_\n"), max_size=24).map(bytes)


def split(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    return [body[start:end] for start, end in pairwise(edges)]


def walk(chunks: list[bytes]) -> tuple[int, bool, Status | None]:
    walker = FrameWalker(LIMIT)
    try:
        for chunk in chunks:
            walker.feed(chunk)
        walker.end()
    except WireError as error:
        return walker.messages, walker.compressed, error.status
    return walker.messages, walker.compressed, None


def split_frames(chunks: list[bytes]) -> list[tuple[int, bytes]] | Status:
    splitter = FrameSplitter(LIMIT)
    found = []
    try:
        for chunk in chunks:
            found += splitter.feed(chunk)
        splitter.end()
    except WireError as error:
        return error.status
    return found


def decode(chunks: list[bytes]) -> bytes | int:
    decoder = TextDecoder()
    decoded = b""
    try:
        for chunk in chunks:
            decoded += decoder.feed(chunk)
        decoder.end()
    except WireError as error:
        return error.status.code
    return decoded


@given(messages, cuts)
@quick
def test_frames_survive_any_split(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    chunks = split(b"".join(frame(message, flags) for flags, message in frames), cuts)
    assert split_frames(chunks) == frames
    assert walk(chunks) == (len(frames), any(flags for flags, _ in frames), None)


@given(messages, st.integers(0, 600))
@quick
def test_a_walker_knows_whether_it_is_inside_a_frame(frames: list[tuple[int, bytes]], size: int) -> None:
    walker, body, ends = FrameWalker(LIMIT), b"", {0}
    for flags, message in frames:
        body += frame(message, flags)
        ends.add(len(body))
    walker.feed(body[:size])
    assert walker.within_frame == (min(size, len(body)) not in ends)


@given(st.binary(max_size=60).map(encode), st.integers(0, 90))
@quick
def test_a_text_decoder_knows_whether_it_is_inside_a_quantum(body: bytes, size: int) -> None:
    decoder = TextDecoder()
    decoder.feed(body[:size])
    assert decoder.within_quantum == (len(body[:size]) % 4 != 0)


@given(framed_noise, cuts)
@thorough
def test_walker_and_splitter_agree_on_any_bytes_in_any_split(body: bytes, cuts: list[int]) -> None:
    whole = split_frames([body])
    chunks = split(body, cuts)
    assert split_frames(chunks) == whole
    assert walk(chunks) == walk([body]) == walk([bytes((byte,)) for byte in body])
    messages, _, status = walk(chunks)
    assert status == (whole if isinstance(whole, Status) else None)
    if not isinstance(whole, Status):
        assert messages == len(whole)


@given(st.binary(max_size=60), cuts)
@quick
def test_frame_readers_raise_nothing_else(body: bytes, cuts: list[int]) -> None:
    for trailers_allowed in (False, True):
        for reader in (FrameWalker(LIMIT, trailers_allowed), FrameSplitter(LIMIT, trailers_allowed)):
            for chunk in split(body, cuts):
                with contextlib.suppress(WireError):
                    reader.feed(chunk)
            with contextlib.suppress(WireError):
                reader.end()


@given(st.lists(st.binary(max_size=40), max_size=8), cuts)
@quick
def test_segments_survive_any_split(segments: list[bytes], cuts: list[int]) -> None:
    assert decode(split(b"".join(map(encode, segments)), cuts)) == b"".join(segments)


def quantum_by_quantum(body: bytes) -> bytes | int:
    """The rule of text mode, said plainly: every quantum stands for itself and has one encoding."""
    quanta = [body[start : start + 4] for start in range(0, len(body), 4)]
    try:
        decoded = [base64.b64decode(quantum, validate=True) for quantum in quanta]
    except ValueError:
        return Code.INVALID_ARGUMENT
    again = [base64.b64encode(piece) for piece in decoded]
    return b"".join(decoded) if again == quanta else Code.INVALID_ARGUMENT


@given(st.one_of(st.binary(max_size=24), text_noise), cuts)
@thorough
def test_text_is_what_the_rule_says_in_any_split(body: bytes, cuts: list[int]) -> None:
    assert decode(split(body, cuts)) == decode([body]) == quantum_by_quantum(body)
