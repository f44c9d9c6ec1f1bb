"""Valid HTTP/2 spoilt at random: frames and bytes changed, dropped, doubled, moved, and cut in any places."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from hypothesis import strategies as st

HEAD = 9  # bytes of a frame's head (RFC 9113, section 4.1)

Change = tuple[str, int, int]  # what, where, and with what
Edit = tuple[int, int, bytes]  # where, how many bytes, and what instead


def frames_of(stream: bytes) -> list[bytes]:
    """The frames of a stream, without its preface."""
    frames = []
    while stream:
        size = HEAD + int.from_bytes(stream[:3], "big")
        frames.append(stream[:size])
        stream = stream[size:]
    return frames


def _resized(frame: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + frame[3:HEAD] + payload


CHANGES: dict[str, Callable[[list[bytes], int, int], list[bytes]]] = {
    "drop": lambda frames, at, _: frames[:at] + frames[at + 1 :],
    "double": lambda frames, at, _: frames[: at + 1] + frames[at:],
    "repeat": lambda frames, at, value: frames[:at] + frames[at : at + 1] * (value % 40) + frames[at + 1 :],
    "move": lambda frames, at, value: _moved(frames, at, value % len(frames)),
    "kind": lambda frames, at, value: _replaced(frames, at, lambda f: f[:3] + bytes((value % 13,)) + f[4:]),
    "flags": lambda frames, at, value: _replaced(frames, at, lambda f: f[:4] + bytes((f[4] ^ 1 << value % 8,)) + f[5:]),
    "stream": lambda frames, at, value: _replaced(
        frames, at, lambda f: f[:5] + (value % 12).to_bytes(4, "big") + f[HEAD:]
    ),
    "shorter": lambda frames, at, value: _replaced(
        frames, at, lambda f: _resized(f, f[HEAD : max(HEAD, len(f) - 1 - value % 9)])
    ),
    "longer": lambda frames, at, value: _replaced(frames, at, lambda f: _resized(f, f[HEAD:] + bytes(1 + value % 300))),
    "length": lambda frames, at, value: _replaced(frames, at, lambda f: (value % 20_000).to_bytes(3, "big") + f[3:]),
    "payload": lambda frames, at, value: _replaced(frames, at, lambda f: _spoilt(f, value)),
}


def _replaced(frames: list[bytes], at: int, change: Callable[[bytes], bytes]) -> list[bytes]:
    return [*frames[:at], change(frames[at]), *frames[at + 1 :]]


def _moved(frames: list[bytes], at: int, to: int) -> list[bytes]:
    rest = frames[:at] + frames[at + 1 :]
    return [*rest[:to], frames[at], *rest[to:]]


def _spoilt(frame: bytes, value: int) -> bytes:
    if len(frame) == HEAD:
        return frame
    at = HEAD + value % (len(frame) - HEAD)
    return frame[:at] + bytes((frame[at] ^ 1 + value % 255,)) + frame[at + 1 :]


changes: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 60), st.integers(0, 2**20)), max_size=6
)
edits: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 12), st.binary(max_size=12)), max_size=3
)
cuts = st.lists(st.integers(0, 4000), max_size=8)


def changed(frames: Sequence[bytes], by: Iterable[Change]) -> list[bytes]:
    found = list(frames)
    for name, at, value in by:
        if found:
            found = CHANGES[name](found, at % len(found), value)
    return found


def edited(data: bytes, by: Iterable[Edit]) -> bytes:
    for at, size, instead in by:
        where = at % (len(data) + 1)
        data = data[:where] + instead + data[where + size :]
    return data


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place for place in places if place < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]
