"""Carries one plan out, and says what has become of it."""

import asyncio
import base64
from dataclasses import dataclass

from soak import answer
from soak.lines import Lines
from soak.plan import EXPIRED, FOREIGN, TEXT, Plan, Stage
from soak.wire import Exchange, Line
from soak.world import ORIGIN, READER, World

PATIENCE = 30.0  # seconds for the whole of a call
PAUSE = 0.01  # seconds between messages that go out one by one


@dataclass(frozen=True, slots=True)
class Result:
    """`problem`: empty for a right answer, and for a call that was given up."""

    plan: Plan
    begun: float  # loop time
    ended: float
    problem: str
    code: int = -1
    left: bool = False  # given up, before or after its end


async def carry_out(plan: Plan, lines: Lines, world: World) -> Result:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    code, problem = -1, ""
    try:
        async with asyncio.timeout(PATIENCE):
            line = await lines.take(plan.door, alone=plan.leaving is not None and plan.leaving.drop)
            exchange = _begin(plan, line, world)
            if plan.leaving is None:
                await _send(plan, exchange)
                await exchange.until(lambda: False)
                code, problem = _judged(plan, exchange)
            else:
                await _leave(plan, exchange)
                if plan.leaving.drop:
                    line.close()
    except TimeoutError:
        problem = f"no end within {PATIENCE:g} s"
    except OSError as error:
        problem = f"cannot connect: {error}"
    return Result(plan, begun, loop.time(), problem, code, plan.leaving is not None)


def _judged(plan: Plan, exchange: Exchange) -> tuple[int, str]:
    if exchange.broken:
        return -1, exchange.broken
    if plan.http_status != 200:
        return -1, "" if exchange.status == plan.http_status else f"HTTP {exchange.status}"
    said = answer.read(exchange)
    return said.code, said.problem or plan.wrong(said)


def _begin(plan: Plan, line: Line, world: World) -> Exchange:
    headers = {"content-type": plan.form, "origin": ORIGIN if plan.origin else FOREIGN, "te": "trailers"}
    if plan.token:
        token = world.issuer.expired(READER) if plan.token == EXPIRED else world.issuer.token(plan.token)
        headers["authorization"] = f"Bearer {token}"
    if plan.timeout:
        headers["grpc-timeout"] = plan.timeout
    size = None if plan.one_by_one else len(_body(plan))
    return line.request(f"/{plan.service}/{plan.method}", headers, size)


def _body(plan: Plan) -> bytes:
    body = b"".join(map(answer.framed, plan.messages))
    return base64.b64encode(body) if plan.form == TEXT else body


async def _send(plan: Plan, exchange: Exchange) -> None:
    if not plan.one_by_one:
        await exchange.send(_body(plan), end=True)
        return
    for message in plan.messages:
        await exchange.send(answer.framed(message))
        await asyncio.sleep(PAUSE)
    await exchange.send(b"", end=True)


async def _leave(plan: Plan, exchange: Exchange) -> None:
    leaving = plan.leaving
    assert leaving is not None
    if leaving.stage is Stage.HALF:
        body = _body(plan)
        await exchange.send(body[: len(body) // 2])
    else:
        await _send(plan, exchange)
        if leaving.stage is Stage.ANSWERING:
            await exchange.until(lambda: bool(exchange.body))
    await asyncio.sleep(leaving.after)
    if leaving.drop:
        exchange.drop()
    else:
        exchange.cancel()
