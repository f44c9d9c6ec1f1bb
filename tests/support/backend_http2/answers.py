"""What a test's backend answers: to calls, and to who asks how it is."""

from collections.abc import Awaitable, Callable

from tests.support.backend_http2.request import Request
from tests.support.frames import message

Answer = Callable[[Request], Awaitable[None]]


async def ok(request: Request) -> None:
    """The messages of the request back, once it is whole, and status 0."""
    data = await request.whole()
    request.head()
    await request.send(data or message(b""))
    request.trailers((b"grpc-status", b"0"))


async def silent(request: Request) -> None:
    """Nothing."""


WATCH = b"/grpc.health.v1.Health/Watch"
NOT_SERVING, SERVING = 2, 1


class Health:
    """An answer to calls, and to whoever asks grpc.health.v1 how the backend is."""

    def __init__(self, answer: Answer = ok, status: int = SERVING) -> None:
        self.answer = answer
        self.status = status  # what it says first
        self.watches: list[Request] = []  # all there were

    @property
    def watching(self) -> list[Request]:
        return [watch for watch in self.watches if not watch.over and not watch.replied]

    async def __call__(self, request: Request) -> None:
        if request.fields[b":path"] != WATCH:
            await self.answer(request)
            return
        assert await request.whole() == message(b"")
        self.watches.append(request)
        request.head()
        await request.send(message(bytes((8, self.status))))
        request.connection.backend.tell()

    async def say(self, status: int) -> None:
        self.status = status
        for watch in self.watching:
            await watch.send(message(bytes((8, status))))
