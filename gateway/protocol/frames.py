"""Length-prefixed frames: one flag byte, four bytes of length (big-endian), the message.

Rule: a limit is decided on the prefix, before a byte of the message is kept. gRPC and gRPC-Web write the same frames
(PROTOCOL-HTTP2.md, "Length-Prefixed-Message"; PROTOCOL-WEB.md), so they cross the gateway as they are: `FrameWalker`
looks on, and only an end that works message by message needs `FrameSplitter`.
"""

import struct

from gateway.protocol.status import Code, WireError

COMPRESSED = 0x01
TRAILERS = 0x80  # gRPC-Web: the frame holds the trailers
PREFIX_SIZE = 5
FEW_ALIKE = 32  # frames of one size are looked at one by one before they are looked at together

_PREFIX = struct.Struct(">BI")
_unpack_from = _PREFIX.unpack_from


def frame(message: bytes, flags: int = 0) -> bytes:
    """`message` with its prefix."""
    return _PREFIX.pack(flags, len(message)) + message


class _FrameReader:
    """What both readers know: which flags may stand there, how long a message may be."""

    __slots__ = ("_flags", "_max_message")

    def __init__(self, max_message: int, trailers_allowed: bool = False) -> None:
        self._max_message = max_message
        self._flags = COMPRESSED | TRAILERS if trailers_allowed else COMPRESSED

    def _open(self, data: bytes | bytearray, position: int = 0) -> tuple[int, int]:
        """Flags and message length of the prefix at `position`."""
        flags, length = _unpack_from(data, position)
        if flags & ~self._flags:
            raise WireError(Code.INVALID_ARGUMENT, f"a message frame has the flags 0x{flags:02x}")
        if length > self._max_message:
            raise WireError(
                Code.RESOURCE_EXHAUSTED, f"a message of {length} bytes is over the limit of {self._max_message}"
            )
        return flags, length


class FrameWalker(_FrameReader):
    """Checks the frames of a body that passes by, chunk by chunk, and keeps none of it.

    `max_message` is in bytes and holds for trailer frames too, which `trailers_allowed` lets pass. `messages` counts
    the complete messages (trailer frames apart); `compressed` says that a compressed frame has begun. After a
    `WireError` the walker must not be fed again.
    """

    __slots__ = ("_left", "_prefix", "_trailers", "compressed", "messages")

    def __init__(self, max_message: int, trailers_allowed: bool = False) -> None:
        super().__init__(max_message, trailers_allowed)
        self.messages = 0
        self.compressed = False
        self._prefix = b""  # the beginning of a prefix that a chunk cut
        self._left = 0  # bytes of the open message that are still to come
        self._trailers = False  # the open frame holds trailers

    @property
    def within_frame(self) -> bool:
        return bool(self._left or self._prefix)

    def feed(self, data: bytes) -> None:
        """Walk over the next chunk. Raises WireError: INVALID_ARGUMENT (flags), RESOURCE_EXHAUSTED (length)."""
        if not self._left and not self._prefix and len(data) >= PREFIX_SIZE:
            flags, length = _unpack_from(data)
            if length == len(data) - PREFIX_SIZE and length <= self._max_message and flags <= COMPRESSED:
                self.messages += 1
                if flags:
                    self.compressed = True
                return
        self._walk(data)

    def end(self) -> None:
        """The body is over. Raises WireError INVALID_ARGUMENT inside a frame."""
        if self.within_frame:
            raise _truncated()

    def _walk(self, data: bytes) -> None:
        position, end = 0, len(data)
        while position < end:
            if self._left:
                step = min(self._left, end - position)
                self._left -= step
                position += step
                if not self._left:
                    self._close()
            elif self._prefix or end - position < PREFIX_SIZE:
                piece = data[position : position + PREFIX_SIZE - len(self._prefix)]
                self._prefix += piece
                position += len(piece)
                if len(self._prefix) == PREFIX_SIZE:
                    self._begin(*self._open(self._prefix))
                    self._prefix = b""
            else:
                position = self._pass_whole(data, position)
                if end - position >= PREFIX_SIZE:
                    self._begin(*self._open(data, position))
                    position += PREFIX_SIZE

    def _pass_whole(self, data: bytes, position: int) -> int:
        """The position after the ordinary frames that lie whole in `data`, which streams are full of."""
        size, most, messages, before, alike = len(data), self._max_message, 0, -1, 0
        last, after = size - PREFIX_SIZE, position
        while after <= last:
            flags, length = _unpack_from(data, after)
            step = PREFIX_SIZE + length
            if flags or length > most or after + step > size:
                break
            alike = alike + 1 if length == before else 0
            before = length
            if alike >= FEW_ALIKE:
                run = _alike(data, after, step, alike)
                alike += run
                after += run * step
                messages += run
            else:
                after += step
                messages += 1
        self.messages += messages
        return after

    def _begin(self, flags: int, length: int) -> None:
        self._left = length
        self._trailers = flags >= TRAILERS
        if flags & COMPRESSED:
            self.compressed = True
        if not length:
            self._close()

    def _close(self) -> None:
        if not self._trailers:
            self.messages += 1


class FrameSplitter(_FrameReader):
    """Cuts a body into whole frames, chunk by chunk.

    Holds the beginning of one frame at most: a frame that lies whole in a chunk is cut out of it, and every byte of one
    that does not is appended once. After a `WireError` the splitter must not be fed again.
    """

    __slots__ = ("_held", "_wanted")

    def __init__(self, max_message: int, trailers_allowed: bool = False) -> None:
        super().__init__(max_message, trailers_allowed)
        self._held = bytearray()  # not a list of chunks: a body sent in crumbs would cost many times its size
        self._wanted = PREFIX_SIZE  # how long `_held` must be before it says more

    @property
    def pending(self) -> int:
        """Bytes held of a frame that is not complete."""
        return len(self._held)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that `data` completes, as (flags, message). Raises WireError as `FrameWalker.feed` does."""
        if not self._held and len(data) >= PREFIX_SIZE:
            flags, length = _unpack_from(data)
            if length == len(data) - PREFIX_SIZE and length <= self._max_message and flags <= COMPRESSED:
                return [(flags, data[PREFIX_SIZE:])]
        return self._split(data)

    def end(self) -> None:
        """The body is over. Raises WireError INVALID_ARGUMENT inside a frame."""
        if self._held:
            raise _truncated()

    def _split(self, data: bytes) -> list[tuple[int, bytes]]:
        frames: list[tuple[int, bytes]] = []
        position, end = 0, len(data)
        while position < end:
            if not self._held and end - position >= PREFIX_SIZE:
                flags, length = self._open(data, position)
                after = position + PREFIX_SIZE + length
                if after <= end:
                    frames.append((flags, data[position + PREFIX_SIZE : after]))
                    position = after
                    continue
            piece = data[position : position + self._wanted - len(self._held)]
            self._held += piece
            position += len(piece)
            if len(self._held) == self._wanted:
                frames.extend(self._take())
        return frames

    def _take(self) -> list[tuple[int, bytes]]:
        """The frame held, if it is complete; otherwise the prefix is, and says how much more is wanted."""
        flags, length = self._open(self._held)
        size = PREFIX_SIZE + length
        if len(self._held) < size:
            self._wanted = size
            return []
        message = bytes(memoryview(self._held)[PREFIX_SIZE:])
        self._held = bytearray()
        self._wanted = PREFIX_SIZE
        return [(flags, message)]


def _alike(data: bytes, position: int, step: int, most: int) -> int:
    """How many whole frames of `step` bytes follow each other from `position` on, with the prefix of the first.

    Messages of one size are what streams of small ones often are. Looked at by columns (all last bytes of the prefixes,
    all last but one, …) they cost a tenth of what they cost one by one; only as many as there were already, since one
    of another size makes the rest of the look vain.
    """
    run = min((len(data) - position) // step, most)
    for column in reversed(range(PREFIX_SIZE)):
        there = data[position + column : position + run * step : step]
        run -= len(there.lstrip(there[:1]))
    return run


def _truncated() -> WireError:
    return WireError(Code.INVALID_ARGUMENT, "the body ends inside a message frame")
