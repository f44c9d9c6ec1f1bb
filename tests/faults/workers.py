"""`serve` with two workers, and a caller whom they know."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from tests.support.serving import Serving, site

SOON = 20.0  # seconds for what waits for nothing, on a machine that may be very busy


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class Workers:
    """Two of one gateway, and a caller whom they know."""

    def __init__(self, gateway: Serving, fields: list[tuple[str, str]]) -> None:
        self.gateway = gateway
        self._fields = fields

    async def calls(self, count: int, **headers: str) -> list[bool]:
        """Whether each of so many is answered well."""
        fields = [(name, headers.get(name, value)) for name, value in self._fields]
        return list(await asyncio.gather(*(self.gateway.call(fields) for _ in range(count))))


@contextlib.asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Workers]:
    async with site() as place:
        yield Workers(await place.serve(workers=2, **changes), place.fields())
