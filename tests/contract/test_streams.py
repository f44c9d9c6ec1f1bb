"""The course of a call in every cell: what comes when, who holds whom back, and who learns that the other has left."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.contract.backends import BLOCK, FLOOD, KINDS, MANY_REPLIES, MANY_REQUESTS
from tests.contract.cases import frames, sent
from tests.contract.cells import Cell, Stage, in_every_cell
from tests.contract.observation import observe
from tests.support.backends import SCRIPT
from tests.support.frames import message
from tests.support.gateway import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = 0.1  # seconds for the backend to learn that the client has left
ATTEMPTS = 3  # a busy machine may be late now and then; a gateway that is late is late always
STANDSTILL = 0.1  # seconds without a message: it is held back


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def nothing_is_left(stage: Stage) -> AsyncIterator[None]:
    stage.witness.forget()
    yield
    await eventually(lambda: stage.backend.open == 0 and all(not each.open_calls for each in stage.gateways.values()))


@in_every_cell
async def test_a_conversation(stage: Stage, cell: Cell) -> None:
    """Each message is answered before the next is sent: nothing waits for more, or for the end."""
    async with stage.exchange(cell, SCRIPT + "BidiEcho", stage.fields(cell)) as exchange:
        if cell.refused:
            assert await exchange.head() == 415
            return
        said = b""
        for word in (b"one", b"", b"three" * 20_000):
            await exchange.send(message(word))
            said += message(word)
            assert await exchange.received(len(said)) == said
        await exchange.end()
        assert observe(cell, await exchange.answer())["grpc-status"] == 0


@in_every_cell
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Unary"])  # a unary call may be answered at once
async def test_the_head_comes_before_the_first_message(stage: Stage, kind: str, cell: Cell) -> None:
    body = cell.encode(frames(*sent(kind)))
    async with stage.exchange(cell, f"{SCRIPT}{kind}Silent", stage.fields(cell), body) as exchange:
        assert await exchange.head() == (415 if cell.refused else 200)
        if kind in MANY_REPLIES and not cell.refused:
            assert await exchange.received(10) == frames(b"first")


@in_every_cell
@pytest.mark.parametrize("kind", MANY_REQUESTS)
async def test_a_body_in_crumbs(stage: Stage, kind: str, cell: Cell) -> None:
    body = frames(*sent(kind))
    async with stage.exchange(cell, f"{SCRIPT}{kind}Echo", stage.fields(cell)) as exchange:
        for byte in body:
            await exchange.send(bytes((byte,)))
        await exchange.end()
        if cell.refused:
            assert await exchange.head() == 415
        else:
            seen = observe(cell, await exchange.answer())
            expected = body if kind == "Bidi" else frames(b"".join(sent(kind)))
            assert (seen["grpc-status"], seen["body"]) == (0, expected)


# -- leaving


@in_every_cell
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["leaves", "is lost"])
async def test_the_backend_learns_at_once_that_the_client(stage: Stage, kind: str, way: str, cell: Cell) -> None:
    took = [await leaving(stage, kind, way, cell)]
    while took[-1] > PROMPT and len(took) < ATTEMPTS:
        took.append(await leaving(stage, kind, way, cell))
    assert took[-1] <= PROMPT, took


async def leaving(stage: Stage, kind: str, way: str, cell: Cell) -> float:
    """Seconds from the client's leave to the end of the backend's handler; the request of a client stream is open."""
    loop, witness = asyncio.get_running_loop(), stage.witness
    whole = None if kind in MANY_REQUESTS else cell.encode(frames(*sent(kind)))
    async with stage.exchange(cell, f"{SCRIPT}{kind}Silent", stage.fields(cell), whole) as exchange:
        if cell.refused:
            assert await exchange.head() == 415
            return 0.0
        async with asyncio.timeout(5):
            await witness.begun.get()
            started = loop.time()
            if way == "leaves":
                await exchange.leave()
            else:
                exchange.lose()
            return await witness.left.get() - started


# -- holding back


async def settled(count: Callable[[], int]) -> int:
    """The count, once it stands still."""
    before = -1
    async with asyncio.timeout(10):
        while not 0 < before == count():
            before = count()
            await asyncio.sleep(STANDSTILL)
    return before


@in_every_cell
async def test_a_slow_reader_holds_the_backend_back(stage: Stage, cell: Cell) -> None:
    before = stage.backend.sent
    body = cell.encode(frames(b""))
    async with stage.exchange(cell, SCRIPT + "ServerStreamFlood", stage.fields(cell), body, deaf=True) as exchange:
        if cell.refused:
            await exchange.read()
            assert await exchange.head() == 415
            return
        assert await settled(lambda: stage.backend.sent) - before < FLOOD
        await exchange.read()
        seen = observe(cell, await exchange.answer())
        assert (seen["grpc-status"], len(seen["body"])) == (0, FLOOD * (BLOCK + 5))


@in_every_cell
async def test_a_slow_backend_holds_the_client_back(stage: Stage, cell: Cell) -> None:
    block, given = message(bytes(BLOCK)), 0

    async def give() -> None:
        nonlocal given
        for _ in range(FLOOD):
            await exchange.send(block)
            given += 1

    async with stage.exchange(cell, SCRIPT + "ClientStreamLater", stage.fields(cell)) as exchange:
        if cell.refused:
            assert await exchange.head() == 415
            return
        giving = asyncio.create_task(give())
        try:
            assert await settled(lambda: given) < FLOOD
            stage.witness.go.set()
            await giving
        except BaseException:
            giving.cancel()
            exchange.lose()
            raise
        await exchange.end()
        seen = observe(cell, await exchange.answer())
        assert (seen["grpc-status"], seen["body"]) == (0, frames(b"%d" % (FLOOD * BLOCK)))
