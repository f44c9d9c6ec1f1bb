"""What changes around the gateway while calls run: certificates, keys, configuration, backends.

Rule: each change waits until the gateway has taken it, which is what it is for; one that is not taken is a failure.
Afterwards all is as it was before: the same configuration, all backends there.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle

from soak.gateway import Gateway
from soak.load import Load
from soak.replica import Replica
from soak.world import TRANSPORTS, World

KEYS_EVERY = 35.0  # seconds: the gateway asks for unknown keys twice a minute at most
BAD = "listeners: [{bind: 127.0.0.1:0}]\nupstreams: nonsense\nno_such_key: 1\n"


class Changes:
    """One after the other, round and round."""

    def __init__(self, world: World, gateway: Gateway, replicas: Sequence[Replica], load: Load, workers: int) -> None:
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self.marks: list[tuple[float, str]] = []  # loop time and name
        self._world = world
        self._gateway = gateway
        self._replicas = replicas
        self._load = load
        self._workers = workers
        self._rotated_at = float("-inf")
        self._changed = False  # the configuration is not the first one

    @property
    def _ports(self) -> list[int]:
        return [replica.port for replica in self._replicas]

    async def go_on(self, seconds: float, every: float) -> None:
        """For so long a change every so many seconds; then all is as it was before."""
        first, second = self._replicas
        round_trip: list[tuple[str, Callable[[], Awaitable[bool]]]] = [
            ("client certificate", self._client_certificate),
            ("keys", self._keys),
            ("listener certificate", self._listener_certificate),
            (f"restart {first.name}", lambda: self._restart(first)),
            ("configuration", self._good_configuration),
            (f"restart {second.name}", lambda: self._restart(second)),
            ("bad configuration", self._bad_configuration),
            (f"kill {first.name}", lambda: self._kill(first)),
        ]
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        for name, change in cycle(round_trip):
            await asyncio.sleep(min(every, max(0.0, until - loop.time())))
            if loop.time() >= until:
                break
            await self._make(name, change)
        if self._changed:
            await self._make("configuration", self._good_configuration)

    async def _make(self, name: str, change: Callable[[], Awaitable[bool]]) -> None:
        loop = asyncio.get_running_loop()
        if name == "keys" and loop.time() - self._rotated_at < KEYS_EVERY:
            return
        self.marks.append((loop.time(), name))
        self._load.meanwhile = name
        if await change():
            self.done[name] += 1
        else:
            self.failed.append(f"{name}: not seen by the gateway")

    async def _logged(self, event: str, times: int, act: Callable[[], None]) -> bool:
        """Whether each worker says so, so many times."""
        wanted = self._gateway.events[event] + times * self._workers
        act()
        return await self._gateway.until(event, wanted)

    async def _client_certificate(self) -> bool:
        return await self._logged("certificate_renewed", len(TRANSPORTS), self._world.renew_client_certificate)

    async def _listener_certificate(self) -> bool:
        return await self._logged("certificate_renewed", 1, self._world.renew_listener_certificate)

    async def _keys(self) -> bool:
        self._rotated_at = asyncio.get_running_loop().time()
        return await self._logged("jwks_changed", 1, self._world.issuer.rotate)

    async def _good_configuration(self) -> bool:
        """There and back: origins, limits, and an upstream that is built anew."""
        self._changed = not self._changed
        changes = {}
        if self._changed:
            upstreams = self._world.upstreams(self._ports)
            upstreams["h2"]["connections"] = 2
            upstreams["grpcio"]["keepalive"] = "4m"
            changes = {"limits": {"max_calls": 900, "max_calls_per_peer": 900}, "upstreams": upstreams}
        return await self._logged("configuration_changed", 1, lambda: self._world.configure(self._ports, **changes))

    async def _bad_configuration(self) -> bool:
        """And a good one after it."""
        refused = await self._logged("configuration_refused", 1, lambda: self._world.write(BAD))
        return refused and await self._good_configuration()

    async def _restart(self, replica: Replica) -> bool:
        await replica.restart()
        return await replica.called()

    async def _kill(self, replica: Replica) -> bool:
        self._load.killed.append(asyncio.get_running_loop().time())
        await replica.kill()
        await replica.start()
        return await replica.called()
