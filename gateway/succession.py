"""The generation that is in use, and those before it that calls still have."""

import asyncio
from collections.abc import Iterable

import structlog

from gateway.ends import Roadside
from gateway.generation import Generation, Part, close_parts

log = structlog.get_logger("gateway")


class Succession:
    """Of one gateway. A generation that has been followed is closed when its last call is over."""

    def __init__(self, first: Generation) -> None:
        self.current = first
        first.use()
        self._before: list[Generation] = []
        self._closing: set[asyncio.Task[None]] = set()

    def follow(self, generation: Generation) -> None:
        """From now on this one is in use."""
        generation.use(self.current)
        self._before.append(self.current)
        self.current = generation

    @property
    def living(self) -> int:
        """How many there are, the one in use included."""
        return 1 + len(self._before)

    def tidy(self, roads: Iterable[Roadside]) -> None:
        """Close what only generations have that no call is on any more; `roads`: of the calls that go on."""
        if not self._before:
            return
        used = set(map(id, roads))
        gone = [generation for generation in self._before if id(generation.road) not in used]
        if not gone:
            return
        self._before = [generation for generation in self._before if generation not in gone]
        task = asyncio.create_task(close_parts(_parts(gone) - _parts([self.current, *self._before])))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """All of them."""
        await asyncio.gather(*self._closing, close_parts(_parts([self.current, *self._before])))


def _parts(generations: Iterable[Generation]) -> set[Part]:
    return set[Part]().union(*(generation.parts for generation in generations))
