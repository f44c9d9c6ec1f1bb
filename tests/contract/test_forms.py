"""How the forms cross: Accept decides the reply's, and base64 may be cut anywhere, but must be base64."""

import base64
import itertools

import pytest

from tests.contract.cells import CELLS, CONTENT_TYPES, Cell, Stage, in_every_cell
from tests.contract.observation import observe
from tests.support.backends import SCRIPT
from tests.support.frames import message, no_base64

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE = message(b"\xff\xfe\xfd")
TEXT = base64.b64encode(ONE)


@in_every_cell
@pytest.mark.parametrize("accept", [*CONTENT_TYPES.values(), "*/*", "application/json"])
async def test_accept_decides_the_reply(stage: Stage, accept: str, cell: Cell) -> None:
    fields = stage.fields(cell, ("accept", accept))
    async with stage.exchange(cell, SCRIPT + "UnaryEcho", fields, cell.encode(ONE)) as exchange:
        raw = await exchange.answer()
    if cell.refused:
        assert raw.status == 415
        return
    web = [CONTENT_TYPES["binary"], CONTENT_TYPES["text"]]
    expected = accept if cell.form != "native" and accept in web else CONTENT_TYPES[cell.form]
    seen = observe(cell, raw)
    assert (seen["content-type"], seen["grpc-status"], seen["body"]) == (expected.encode(), 0, ONE)


in_text = pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.form == "text"], ids=str)


@in_text
@pytest.mark.parametrize(("segment", "piece"), list(itertools.product((1, 2, 3, 5), (1, 3, 4))))
async def test_text_may_be_cut_anywhere(stage: Stage, segment: int, piece: int, cell: Cell) -> None:
    """`segment` bytes each are encoded on their own, and `piece` characters each are sent."""
    body = message(b"one") + message(b"") + message(b"three")
    written = b"".join(base64.b64encode(body[start : start + segment]) for start in range(0, len(body), segment))
    binary = Cell(cell.front, cell.upstream, "binary")  # what it sends goes as it is
    async with stage.exchange(binary, SCRIPT + "BidiEcho", stage.fields(cell)) as exchange:
        for start in range(0, len(written), piece):
            await exchange.send(written[start : start + piece])
        await exchange.end()
        seen = observe(cell, await exchange.answer())
    assert (seen["grpc-status"], seen["body"]) == (0, body)


@in_text
@pytest.mark.parametrize("body", no_base64(TEXT))
async def test_text_that_is_no_base64(stage: Stage, body: bytes, cell: Cell) -> None:
    received = stage.witness.received
    async with stage.exchange(cell, SCRIPT + "ClientStreamEcho", stage.fields(cell), body) as exchange:
        seen = observe(cell, await exchange.answer())
    assert (seen["grpc-status"], seen["body"]) == (3, b"")
    assert stage.witness.received - received <= 1  # a message that was good may have gone
