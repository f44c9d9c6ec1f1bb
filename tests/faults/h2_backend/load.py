"""A gateway before backends over HTTP/2, and callers who use it all the time."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from tests.support.backend_http2 import Backend, Request, ok
from tests.support.frames import message
from tests.support.gateway import Change, RunningGateway, eventually

CALL = "/test.v1.Test/Do"
FAST = "/test.v1.Test/Fast"
KIB, MIB = 1024, 1024 * 1024
OK = (b"grpc-status", b"0")
AT_ONCE = 5.0  # seconds: far less than any time-out, far more than it takes


def to(*backends: Backend, **more: Any) -> Change:
    """The service of `CALL` is behind these."""

    def change(configuration: dict[str, Any]) -> None:
        section = backends[0].section(services=["test.v1.Test"], transport="h2")
        section["targets"] = [each.target for each in backends]
        if "tls" in more:
            section |= {"plaintext": False, "allow_insecure_tokens": False}
        configuration["upstreams"]["test"] = section | more
        configuration["authorization"]["default"] = "authenticated"

    return change


async def fast_or_silent(request: Request) -> None:
    if request.fields[b":path"] == FAST.encode():
        await ok(request)


async def fast(gateway: RunningGateway) -> None:
    """Another call on the same connection to the backend, at once."""
    async with asyncio.timeout(AT_ONCE):
        reply = await gateway.post(FAST, message(b"fast"))
    assert (reply.code, reply.messages) == (0, [b"fast"])


class Load:
    """Callers that call one after the other, and count how it went."""

    def __init__(self, gateway: RunningGateway, callers: int = 8) -> None:
        self.codes: Counter[int] = Counter()
        self._gateway = gateway
        self._numbers = itertools.count()
        self._over = False
        self._callers = [asyncio.create_task(self._call()) for _ in range(callers)]

    @property
    def calls(self) -> int:
        return self.codes.total()

    async def more(self, count: int) -> None:
        """Return after so many calls more."""
        calls = self.calls + count
        await eventually(lambda: self.calls >= calls or any(caller.done() for caller in self._callers), 10)

    async def stop(self) -> None:
        self._over = True
        async with asyncio.timeout(10):
            await asyncio.gather(*self._callers)

    async def _call(self) -> None:
        headers = self._gateway.headers()
        while not self._over:
            number = next(self._numbers)
            reply = await self._gateway.post(CALL, message(b"%d" % number), headers | {"x-call": str(number)})
            self.codes[reply.code] += 1
            assert reply.messages == ([b"%d" % number] if reply.code == 0 else [])


@contextlib.asynccontextmanager
async def under_load(gateway: RunningGateway) -> AsyncIterator[Load]:
    load = Load(gateway)
    try:
        yield load
    finally:
        await load.stop()


class Ledger:
    """Which calls the handlers of one or more backends have seen."""

    def __init__(self) -> None:
        self.processed: Counter[bytes] = Counter()

    async def __call__(self, request: Request) -> None:
        self.processed[request.fields[b"x-call"]] += 1
        await asyncio.sleep(0.002)
        await ok(request)
