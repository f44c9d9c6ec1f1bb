"""What is read every second: of the gateway's processes, of its /metrics, of the backends, of the load."""

import asyncio
from collections.abc import Sequence

from soak.gateway import Gateway
from soak.load import Load
from soak.replica import Replica

EVERY = 1.0  # seconds
Sample = dict[str, float]
# What /metrics may tell, by the name of a curve. What a version of the gateway does not tell, there is no curve of.
GAUGES = {
    "calls": "gateway_open_calls",
    "connections": "gateway_open_connections",
    "tasks": "gateway_tasks",
    "configurations": "gateway_configurations",
    "tokens": "gateway_cached_tokens",
    "upstream connections": "gateway_upstream_connections",
}


class Sampler:
    """`time` is in seconds since it was made."""

    def __init__(self, gateway: Gateway, replicas: Sequence[Replica], load: Load) -> None:
        self.samples: list[Sample] = []
        self.began = asyncio.get_running_loop().time()
        self._gateway = gateway
        self._replicas = replicas
        self._load = load

    async def go_on(self) -> None:
        """Until cancelled, or the gateway has ended."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._gateway.runs:
            await self.take()
            due = max(due + EVERY, loop.time())
            await asyncio.sleep(due - loop.time())

    async def take(self) -> Sample:
        sample: Sample = {"time": round(asyncio.get_running_loop().time() - self.began, 2)}
        metrics = await self._gateway.metrics()
        sample |= self._gateway.vitals()
        sample |= {curve: metrics[name] for curve, name in GAUGES.items() if name in metrics}
        sample["backend streams"] = sum(replica.open for replica in self._replicas)
        sample["load"] = self._load.going
        sample["begun"] = self._load.begun
        self.samples.append(sample)
        return sample
