"""What Chromium says of the requests of a page: the domain Network of the DevTools protocol."""

from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page


@dataclass
class Exchange:
    """One request. What the response tells is empty until it is there."""

    method: str
    url: str
    status: int | None = None
    protocol: str = ""  # an ALPN name: "http/1.1", "h2"
    connection: int | None = None
    over: bool = False


class Network:
    """All requests since `watch`, preflights included."""

    def __init__(self) -> None:
        self._exchanges: dict[str, Exchange] = {}

    @classmethod
    async def watch(cls, page: Page) -> "Network":
        network = cls()
        devtools = await page.context.new_cdp_session(page)
        await devtools.send("Network.enable")
        devtools.on("Network.requestWillBeSent", network._on_request)
        devtools.on("Network.responseReceived", network._on_response)
        devtools.on("Network.loadingFinished", network._on_end)
        devtools.on("Network.loadingFailed", network._on_end)
        return network

    def answered(self, part: str = "") -> list[Exchange]:
        """Requests that have a response, of URLs with `part` in them."""
        return [each for each in self._exchanges.values() if each.status is not None and part in each.url]

    def _on_request(self, event: dict[str, Any]) -> None:
        request = event["request"]
        self._exchanges[event["requestId"]] = Exchange(request["method"], request["url"])

    def _on_response(self, event: dict[str, Any]) -> None:
        response = event["response"]
        if (exchange := self._exchanges.get(event["requestId"])) is not None:
            exchange.status = response["status"]
            exchange.protocol = response["protocol"]
            exchange.connection = response["connectionId"]

    def _on_end(self, event: dict[str, Any]) -> None:
        if (exchange := self._exchanges.get(event["requestId"])) is not None:
            exchange.over = True
