"""So many calls a second, at random moments, and what has become of them.

Rule: a call that was not given up has to have its right answer. Two excuses hold, for a call that says UNAVAILABLE, or
that grpcio has forgotten the status of: its backend was killed under it, and it could not be sent again; or its backend
took its leave at that moment, and it went over grpcio, where a channel has one target, so that nothing is sent again to
another one.
"""

import asyncio
from collections import Counter

from soak.caller import Result, carry_out
from soak.lines import Lines
from soak.plan import Planner
from soak.world import World

AT_ONCE = 150  # calls: when there are more, the next one waits
AFTERMATH = 1.0  # seconds after a kill in which calls may still find out
UNAVAILABLE = 14
FORGOTTEN = "Internal error from Core"  # of a call that ends while a message of it is written (grpc/grpc#36066)


class Load:
    def __init__(self, lines: Lines, world: World, planner: Planner, rate: float) -> None:
        """`rate`: calls a second."""
        self.right = 0
        self.given_up = 0
        self.excused = 0
        self.failures: Counter[str] = Counter()  # by call and problem
        self.by_method: Counter[str] = Counter()  # right ones
        self.killed: list[float] = []  # loop times at which a backend was
        self.meanwhile = ""  # what is being changed
        self._lines = lines
        self._world = world
        self._planner = planner
        self._rate = rate
        self._going: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    @property
    def going(self) -> int:
        """Calls under way."""
        return len(self._going)

    @property
    def begun(self) -> int:
        return self.right + self.given_up + self.excused + self.failures.total() + self.going

    async def send(self, enough: asyncio.Event) -> None:
        """Until `enough` is set, and the last of them is over."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not enough.is_set():
            due += self._planner.pause(self._rate)
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._room.acquire()
            due = max(due, loop.time() - 1.0)  # what could not be sent in time is not made up for in a burst
            task = asyncio.create_task(self._one())
            self._going.add(task)
            task.add_done_callback(self._over)
        await asyncio.gather(*self._going)
        self._lines.close()

    async def _one(self) -> None:
        self._note(await carry_out(self._planner.next(), self._lines, self._world))

    def _over(self, task: asyncio.Task[None]) -> None:
        self._going.discard(task)
        self._room.release()

    def _note(self, result: Result) -> None:
        if not result.problem:
            if result.left:
                self.given_up += 1
            else:
                self.right += 1
                self.by_method[result.plan.method] += 1
        elif self._excused(result):
            self.excused += 1
        else:
            self.failures[f"{result.plan.name}: {result.problem} (last change: {self.meanwhile or 'none'})"] += 1

    def _excused(self, result: Result) -> bool:
        told = result.code == UNAVAILABLE or FORGOTTEN in result.problem
        if not told or result.plan.never_fails:
            return False
        return any(result.begun <= at + AFTERMATH and at <= result.ended for at in self.killed)
