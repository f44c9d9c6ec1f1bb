"""The line between a supervisor and one of its workers, in JSON.

    supervisor ── a first word; questions ──▶ worker
               ◀── answers; news, unasked ───

Rule: either end that goes leaves the other to notice, for reading ends.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog

from gateway.tasks import lasting

log = structlog.get_logger("gateway")

_LENGTH = struct.Struct(">I")

_UNASKED = 0  # in place of a question's number

Answers = Mapping[str, Callable[[], Awaitable[Any]]]
News = Mapping[str, Callable[[Any], None]]


class SilenceError(Exception):
    """The worker does not answer in time, or is gone."""

    def __init__(self, question: str, *, gone: bool) -> None:
        super().__init__(question)
        self.gone = gone


class _End:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def close(self) -> None:
        self._writer.close()

    def _send(self, value: object) -> None:
        """Nothing, if the other end has gone: uvloop would raise an error of its own then."""
        if not self._writer.is_closing():
            data = orjson.dumps(value)
            self._writer.write(_LENGTH.pack(len(data)) + data)

    async def _receive(self) -> Any:
        (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        return orjson.loads(await self._reader.readexactly(length))


class WorkerEnd(_End):
    """Answers."""

    @classmethod
    async def over(cls, end: socket.socket) -> "WorkerEnd":
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def first_word(self) -> Any:
        """Before any question. Raises OSError or EOFError if the supervisor is gone."""
        return await self._receive()

    def tell(self, news: str, value: object) -> None:
        self._send((_UNASKED, (news, value)))

    async def answer(self, answers: Answers) -> None:
        """One question after the other, until the supervisor is gone."""
        while True:
            try:
                number, question = await self._receive()
            except (OSError, EOFError):
                return
            try:
                answer = await answers[question]()
            except Exception:  # a defect, and no sign of the supervisor
                log.exception("unexpected_error")
                answer = None
            self._send((number, answer))


class SupervisorEnd(_End):
    """Asks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, news: News) -> None:
        """`news`: what to do with what a worker tells, unasked."""
        super().__init__(reader, writer)
        self._news = news
        self._asked = _UNASKED
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listening = lasting(self._listen())

    @classmethod
    async def over(cls, end: socket.socket, news: News) -> "SupervisorEnd":
        return cls(*await asyncio.open_unix_connection(sock=end), news)

    def say_first(self, word: object) -> None:
        self._send(word)

    async def heard_all(self) -> None:
        """Until the worker can say nothing more."""
        await asyncio.wait([self._listening])

    async def ask(self, question: str, *, within: float | None) -> Any:
        """`within`: seconds. Raises SilenceError."""
        self._asked += 1
        number = self._asked
        self._waiting[number] = answer = asyncio.get_running_loop().create_future()
        self._send((number, question))
        try:
            async with asyncio.timeout(within):
                return await answer
        except TimeoutError:
            raise SilenceError(question, gone=False) from None
        except (OSError, EOFError):
            raise SilenceError(question, gone=True) from None
        finally:
            self._waiting.pop(number, None)

    async def _listen(self) -> None:
        try:
            while True:
                number, value = await self._receive()
                if number == _UNASKED:
                    news, told = value
                    self._news[news](told)
                elif (answer := self._waiting.get(number)) is not None and not answer.done():
                    answer.set_result(value)
        except (OSError, EOFError):
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(EOFError())
