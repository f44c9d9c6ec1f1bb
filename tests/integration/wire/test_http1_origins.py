"""Over HTTP/1.1: which pages may call, and what preflights are told."""

from typing import Any

import pytest

from tests.integration.wire.ways import CORS_NAMES, ECHO, PREFLIGHT, assert_no_cors
from tests.support.backends import ScriptedBackend
from tests.support.gateway import DEMO, ORIGIN, RunningGateway, running, untouched
from tests.support.wire import request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "null",
        "",
        "*",
        "https://page.test",
        "http://page.test:81",
        "http://page.test/",
        "http://page.test.evil.test",
        "http://evil-page.test",
        "HTTP://PAGE.TEST",
        "http://page.test, http://evil.test",
        "http://page.test http://evil.test",
    ],
)
@pytest.mark.parametrize("path", [DEMO + "Echo", "/nothing", "/no.such/Thing"])
async def test_a_foreign_origin_is_told_nothing(
    gateway: RunningGateway, backend: ScriptedBackend, origin: str, path: str
) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(path, gateway.fields(origin=origin), ECHO))
    assert answer.status == 403
    assert_no_cors(answer)


async def test_without_an_origin_there_is_no_cors(gateway: RunningGateway) -> None:
    headers = [pair for pair in gateway.fields() if pair[0] != "origin"]
    answer = await gateway.ask(request(DEMO + "Echo", headers, ECHO))
    assert answer.code == 0
    assert_no_cors(answer)


async def test_options_without_a_preflight_is_a_wrong_method(gateway: RunningGateway) -> None:
    assert (await gateway.ask(request(DEMO + "Echo", [("origin", ORIGIN)], None, "OPTIONS"))).status == 405
    assert (await gateway.ask(request(DEMO + "Echo", PREFLIGHT, None, "OPTIONS"))).status == 405


async def test_configured_cors() -> None:
    def change(configuration: dict[str, Any]) -> None:
        configuration["cors"] |= {
            "allow_origins": ["https://*.preview.test"],
            "allow_credentials": True,
            "allow_headers": ["X-Mine"],
            "expose_headers": ["X-Shown"],
            "max_age": "1m",
            "require_origin": True,
        }

    async with running(change) as gateway:
        origin = "https://a.preview.test"
        preflight = await gateway.ask(request(DEMO + "Echo", [("origin", origin), *PREFLIGHT], None, "OPTIONS"))
        assert preflight.value("access-control-allow-credentials") == "true"
        assert preflight.value("access-control-max-age") == "60"
        assert "x-mine" in (preflight.value("access-control-allow-headers") or "").split(", ")
        answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(origin=origin), ECHO))
        assert answer.code == 0
        assert answer.value("access-control-allow-origin") == origin
        assert answer.value("access-control-allow-credentials") == "true"
        assert answer.value("access-control-expose-headers") == CORS_NAMES + ", x-shown"
        for foreign in ("https://preview.test", "https://a.b.preview.test", "https://evil-preview.test", ORIGIN):
            refused = await gateway.ask(request(DEMO + "Echo", gateway.fields(origin=foreign), ECHO))
            assert refused.status == 403, foreign
        headers = [pair for pair in gateway.fields() if pair[0] != "origin"]
        assert (await gateway.ask(request(DEMO + "Echo", headers, ECHO))).status == 403
        assert gateway.backend_calls == 1
