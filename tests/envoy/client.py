"""Plays one case: sends the request as it stands, and keeps what comes back, whatever that is.

Rule: nothing is guessed. After the answer a preflight of an allowed origin goes over the same connection, as a probe:
its answer tells that the connection is good for another request, and answers before it tell that bytes of the case were
taken for a request of their own. A request whose body is still to come would swallow the probe: there it is asked of
the answer's headers. Last, a call of its own settles what the backend saw: what the case has sent there came before it.
"""

import asyncio
import ssl
from asyncio import IncompleteReadError

from tests.envoy import client_http2
from tests.envoy.backend import Arrival, Backend
from tests.envoy.configurations import ORIGIN
from tests.envoy.corpus.case import Case, call, nobody, preflight
from tests.envoy.exchange import PATIENCE, PROMPT, Exchange
from tests.envoy.stage import Doors, Stage
from tests.support.tokens import KeyWorld
from tests.support.wire import Answer, Wire, connect

PROBE = preflight("probe", ORIGIN)
LAST = call("last", "/grpc.health.v1.Health/Check", add=[("x-last", "1")], credentials=nobody)  # public everywhere
BODILESS = (204, 304)

LEFT = (IncompleteReadError, ConnectionError, BrokenPipeError, ssl.SSLError)


async def play(case: Case, stage: Stage, proxy: str) -> tuple[Exchange, list[Arrival]]:
    """What came of the case at one proxy, "gateway" or "envoy", and what the backend saw of it."""
    doors, backend = stage.proxies[case.configuration][proxy], stage.backend
    backend.arrivals = []
    if case.is_http2:
        exchange = await client_http2.exchanged(case, doors, stage.keys, stage.authority, backend)
    else:
        exchange = await _exchange(case, doors, stage.keys, stage.browser, backend)
    async with asyncio.timeout(2 * PATIENCE):
        # A connection that the case has lost may fail one call more.
        while not any(arrival.value(b"x-last") for arrival in backend.arrivals):
            await _exchange(LAST, doors, stage.keys, stage.browser, backend)
    await backend.quiet(PROMPT)
    return exchange, [arrival for arrival in backend.arrivals if not arrival.value(b"x-last")]


async def _exchange(case: Case, doors: Doors, keys: KeyWorld, browser: ssl.SSLContext, backend: Backend) -> Exchange:
    exchange = Exchange()
    port, context = (doors.tls, browser) if case.tls else (doors.plain, None)
    head, body = case.request(keys)
    async with connect(port, context=context) as wire:
        try:
            async with asyncio.timeout(PATIENCE):
                await wire.send(head if case.awaits_continue else head + body)
                if case.leaves:
                    await _leave(case, wire, exchange, backend)
                    return exchange
                if case.awaits_continue:
                    await _continue(wire, exchange, body)
        except TimeoutError:
            exchange.how = "hung"
            return exchange
        except LEFT:
            pass  # an answer may have come before the connection went
        await _answer(case, wire, exchange)
        if exchange.answer is not None and exchange.answer.value("connection") != "close":
            if case.unfinished:
                exchange.connection = "kept"
            elif exchange.how == "whole" and case is not LAST:
                await _probe(wire, exchange)
    return exchange


async def _leave(case: Case, wire: Wire, exchange: Exchange, backend: Backend) -> None:
    if case.leaves == "after the first message":
        exchange.answer = await _head(wire, exchange)
        exchange.answer.chunks.append(await wire.chunk())  # of the message: neither proxy joins what comes apart
    else:
        await backend.arrived(PATIENCE)
    exchange.how = "left"
    wire.reset()
    await backend.quiet(PROMPT)


async def _continue(wire: Wire, exchange: Exchange, body: bytes) -> None:
    interim = _parse(await wire.reader.readuntil(b"\r\n\r\n"))
    exchange.continued = interim.status == 100
    if exchange.continued:
        await wire.send(body)
    else:
        exchange.answer = interim


async def _answer(case: Case, wire: Wire, exchange: Exchange) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            if exchange.answer is None:
                exchange.answer = await _head(wire, exchange)
            exchange.how = "cut off"
            if await _body(wire, exchange.answer, case.method):
                exchange.how = "whole"
    except TimeoutError:
        exchange.how = "hung"
    except LEFT:
        pass


async def _head(wire: Wire, exchange: Exchange) -> Answer:
    """The next head that is not informational (1xx), whatever version it claims."""
    while 100 <= (answer := _parse(await wire.reader.readuntil(b"\r\n\r\n"))).status < 200:
        exchange.continued = exchange.continued or answer.status == 100
    return answer


def _parse(head: bytes) -> Answer:
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    fields = (line.partition(b":") for line in lines)
    return Answer(int(first.split(b" ", 2)[1]), [(name.lower(), value.strip()) for name, _, value in fields], raw=head)


async def _body(wire: Wire, answer: Answer, method: bytes) -> bool:
    """Read it into `answer`; whether its framing tells that it is whole."""
    length = answer.value("content-length")
    if method == b"HEAD" or answer.status in BODILESS:
        return True
    if answer.value("transfer-encoding") == "chunked":
        while chunk := await wire.chunk():
            answer.chunks.append(chunk)
        return True
    if length is not None:
        answer.chunks.append(await wire.reader.readexactly(int(length)))
        return True
    answer.chunks.append(await wire.rest())
    return True


async def _probe(wire: Wire, exchange: Exchange) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await wire.send(PROBE.request(KeyWorld())[0])
            while True:
                answer = await _head(wire, exchange)
                await _body(wire, answer, PROBE.method)
                if answer.value("access-control-allow-methods"):
                    exchange.connection = "kept"
                    return
                exchange.more.append(answer.status)
    except TimeoutError:
        exchange.connection = "stuck"
    except LEFT:
        exchange.connection = "closed"
