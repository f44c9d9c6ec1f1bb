"""A configuration that is refused for what lies elsewhere, which may come later without any change of the file."""

import pytest
import yaml
from structlog.testing import capture_logs

from gateway import configuration_file
from tests.faults.reloading import ELSEWHERE, elsewhere, following
from tests.support.gateway import eventually, running


async def test_it_is_tried_again_and_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of certificates comes later than the configuration that names it."""
    monkeypatch.setattr(configuration_file, "TRY_AGAIN", 0.05)
    reloads = []
    async with running() as gateway, following(gateway) as file:
        pki, path = gateway.world.pki, gateway.world.config_path
        original = gateway.gateway.reload

        async def counted(*arguments: object, **options: bool) -> bool:
            reloads.append(options)
            return await original(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(gateway.gateway, "reload", counted)
        late = pki.ca.with_name("late.pem")
        gateway.configuration["upstreams"]["demo"]["tls"]["ca"] = str(late)
        elsewhere(gateway.configuration)
        with capture_logs() as events:
            path.write_text(yaml.safe_dump(gateway.configuration))
            await eventually(lambda: len(reloads) >= 4, 10)
            assert gateway.gateway.configuration_refused
            assert (await gateway.echo()).code == 0
            late.write_bytes(pki.ca.read_bytes())
            await eventually(lambda: not gateway.gateway.configuration_refused, 10)
            seen = len(reloads)
            file.read_again()
            await eventually(lambda: len(reloads) > seen, 10)
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0
    refused = [event for event in events if event["event"] == "configuration_refused"]
    assert len(refused) == 1
    assert str(late) in str(refused)
    assert reloads[-1] == {"again": False}


async def test_what_is_mended_to_what_runs_already_is_told() -> None:
    async with running() as gateway:
        with capture_logs() as events:
            assert not await gateway.reconfigure(lambda configuration: configuration.update(listeners=[]))
            assert await gateway.reconfigure(lambda _configuration: None)
            assert await gateway.reconfigure(lambda _configuration: None)
        told = [event for event in events if event["event"].startswith("configuration_")]
        assert [event["event"] for event in told] == ["configuration_refused", "configuration_changed"]
        assert told[1]["sections"] == []
