"""Real backends, in processes, that are restarted and killed under calls."""

import signal
from typing import Any

import pytest

from tests.faults.backends.fleet import CALL, NOTICE, all_connected, before, fleet, under_load
from tests.faults.conftest import Figures
from tests.support.gateway import running

CALLERS = 8  # of each version of HTTP


@pytest.mark.parametrize("more", [{"health_check": True}, {"idempotent_methods": [CALL]}], ids=["health", "idempotent"])
async def test_a_rolling_restart_loses_no_call(more: dict[str, Any], figures: Figures) -> None:
    """Backends that say beforehand that they stop, where they are asked; or at once, if calls may be sent again."""
    notice = NOTICE if "health_check" in more else 0.0
    async with fleet(3, notice) as backends, running(before(*backends, **more)) as gateway:
        async with under_load(gateway, CALLERS) as load:
            await load.more(50)
            for backend in backends:
                await load.more(50)
                await backend.stop()  # SIGTERM
                await load.more(50)
                await backend.start()
                await all_connected(gateway, 3)
            await load.more(100)
        assert not load.failed, load.codes
        figures(calls=load.calls, failed=load.failed.total(), restarts=3)
        assert {version for version, _ in load.codes} == {"1.1", "2"}


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_backend_that_is_killed_fails_no_idempotent_call_and_others_once(
    idempotent: bool, figures: Figures
) -> None:
    more = {"idempotent_methods": [CALL]} if idempotent else {}
    async with fleet(3) as backends, running(before(*backends, **more)) as gateway:
        async with under_load(gateway, CALLERS) as load:
            for backend in backends:
                await load.more(100)
                await backend.stop(signal.SIGKILL)
                await load.more(100)
                await backend.start()
                await all_connected(gateway, 3)
            failed = load.failed.total()
            await load.more(50)
            assert load.failed.total() == failed
        assert {code for _, code in load.codes} <= {0, 14}
        figures(calls=load.calls, failed=failed, kills=3)
        assert failed <= (0 if idempotent else 3 * 2 * CALLERS), load.codes  # what each had when it died
        if idempotent:
            outcomes = gateway.upstreams["test"].retries
            assert outcomes["recovered"] > 0
            assert outcomes.keys() == {"sent", "recovered"}
