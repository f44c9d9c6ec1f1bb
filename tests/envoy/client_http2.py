"""Plays one case over HTTP/2, by the rule of client.py: a probe on the same connection tells what became of that."""

import socket
from pathlib import Path

import h2.errors
import h2.exceptions

from tests.envoy.backend import Backend
from tests.envoy.configurations import ORIGIN
from tests.envoy.corpus.case import Case, over_http2, preflight
from tests.envoy.exchange import PATIENCE, PROMPT, Exchange
from tests.envoy.stage import Doors
from tests.support.http2 import Client, Stream, connect
from tests.support.tokens import KeyWorld
from tests.support.wire import Answer

LEFT = (ConnectionError, RuntimeError, h2.exceptions.ProtocolError)  # RuntimeError is uvloop's, of a closed transport
PROBE = over_http2(preflight("probe", ORIGIN))


async def exchanged(case: Case, doors: Doors, keys: KeyWorld, authority: Path, backend: Backend) -> Exchange:
    """`authority` signs the certificate of the TLS door."""
    exchange = Exchange()
    port, tls = (doors.tls, authority) if case.tls else (doors.plain, None)
    async with connect(port, tls=tls, update_windows=True) as client:
        client.wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # frames are small: 40 ms each else
        stream = await _send(case, client, keys)
        try:
            if case.leaves:
                await _leave(case, stream, backend)
            else:
                await stream.response(PATIENCE)
        except TimeoutError:
            exchange.how = "hung"
        except ConnectionError:
            pass  # an answer may have come before the connection went
        _take(case, stream, exchange)
        if exchange.how in ("whole", "no answer"):
            await _probe(client, keys, exchange)
    return exchange


async def _send(case: Case, client: Client, keys: KeyWorld) -> Stream:
    more = bool(case.trailers) or not case.ended
    stream, opening = client.prepare(case.block(keys), end=not (case.pieces or more))
    await client.send_raw(opening)
    try:
        for number, piece in enumerate(case.pieces, 1):
            await stream.send(piece, end=number == len(case.pieces) and not more)
        if case.trailers and not stream.over:
            client.h2.send_headers(stream.id, case.trailers, end_stream=True)
            await client.flush()
    except LEFT:
        pass  # the proxy has heard enough
    return stream


async def _leave(case: Case, stream: Stream, backend: Backend) -> None:
    if case.leaves == "after the first message":
        await stream.received(1, PATIENCE)
    else:
        await backend.arrived(PATIENCE)
    if not stream.over:
        await stream.cancel()
    await backend.quiet(PROMPT)


def _take(case: Case, stream: Stream, exchange: Exchange) -> None:
    if stream.headers:
        fields = [(name, value) for name, value in stream.headers if not name.startswith(b":")]
        exchange.answer = Answer(stream.status, fields, stream.chunks, raw=b"HTTP/2")
        exchange.trailers = stream.trailers or []
    if stream.ended:
        exchange.how = "whole"
    elif case.leaves:
        exchange.how = "left"
    elif exchange.how != "hung" and stream.headers:
        exchange.how = "cut off"
    if exchange.how == "no answer" and stream.reset is not None:
        exchange.reset = h2.errors.ErrorCodes(stream.reset).name


async def _probe(client: Client, keys: KeyWorld, exchange: Exchange) -> None:
    if client.goaway is not None or client.closed:
        return
    try:
        answer = await (await client.request(PROBE.block(keys))).response(PATIENCE)
    except TimeoutError:
        exchange.connection = "stuck"
    except LEFT:
        pass
    else:
        if any(name == b"access-control-allow-methods" for name, _ in answer.headers):
            exchange.connection = "kept"
