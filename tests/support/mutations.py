"""Valid HTTP/2 spoilt at random: frames and bytes changed, dropped, doubled, moved, and cut in any places."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from hypothesis import strategies as st

from tests.support.frames_http2 import data, goaway, headers, ping, reset, settings, window_update
from tests.support.http2 import frame

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


def _resized(raw: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + raw[3:HEAD] + payload


CHANGES: dict[str, Callable[[list[bytes], int, int], list[bytes]]] = {
    "drop": lambda frames, at, _: frames[:at] + frames[at + 1 :],
    "double": lambda frames, at, _: frames[: at + 1] + frames[at:],
    "repeat": lambda frames, at, value: frames[:at] + frames[at : at + 1] * (value % 40) + frames[at + 1 :],
    "move": lambda frames, at, value: _moved(frames, at, value % len(frames)),
    "insert": lambda frames, at, value: [*frames[:at], _made(value), *frames[at:]],
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
    "byte": lambda frames, at, value: _replaced(frames, at, lambda f: _spoilt(f, value)),
    "number": lambda frames, at, value: _replaced(frames, at, lambda f: _renumbered(f, value)),
}


def _replaced(frames: list[bytes], at: int, change: Callable[[bytes], bytes]) -> list[bytes]:
    return [*frames[:at], change(frames[at]), *frames[at + 1 :]]


def _moved(frames: list[bytes], at: int, to: int) -> list[bytes]:
    rest = frames[:at] + frames[at + 1 :]
    return [*rest[:to], frames[at], *rest[to:]]


def _spoilt(raw: bytes, value: int) -> bytes:
    if len(raw) == HEAD:
        return raw
    at = HEAD + value % (len(raw) - HEAD)
    return raw[:at] + bytes((raw[at] ^ 1 + value % 255,)) + raw[at + 1 :]


def _made(value: int) -> bytes:
    """A frame that says a number: of a stream, a window, a setting, an error."""
    number = value * 4099 % 2**32
    stream = (0, 1, 3, 5)[value // 8 % 4]
    made = (
        reset(stream, number),
        window_update(number, stream),
        settings((1 + value // 32 % 8, number)),
        goaway(number, 2**31 - 1),
        data(stream, bytes(value % 100), padding=value % 256),
        ping(),
        frame(value // 8 % 16, 0, stream, number.to_bytes(4, "big")),
        headers(stream, bytes((value % 256, value // 256 % 256)), end=True),
    )
    return made[value % len(made)]


def _renumbered(raw: bytes, value: int) -> bytes:
    """Another number of 32 bits: a window, a setting, an error code."""
    at = HEAD + 2 * (value % 3)
    return raw if at + 4 > len(raw) else raw[:at] + (value * 4099 % 2**32).to_bytes(4, "big") + raw[at + 4 :]


changes: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 60), st.integers(0, 2**20)), max_size=4
)
# Hardly any survives an edit, so most have none.
edits: st.SearchStrategy[list[Edit]] = st.just([]) | st.lists(
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
