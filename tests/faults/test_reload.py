"""A configuration that changes while calls run: nothing fails, and a bad one is refused whole."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway import generation, listeners
from gateway.upstream.h2 import H2Upstream
from tests.faults.conftest import Figures
from tests.faults.reloading import ELSEWHERE, Load, count, elsewhere
from tests.support.gateway import DEMO, ORIGIN, eventually, running, untouched


async def test_calls_go_on_while_everything_changes(figures: Figures) -> None:
    async with running() as gateway, Load(gateway) as load:
        stream = asyncio.create_task(gateway.post(DEMO + "Count", count(60, 25)))
        await eventually(lambda: gateway.gateway.open_calls > 0)

        def limits(configuration: dict[str, Any]) -> None:
            configuration["limits"] = {"max_request_message": "1MiB", "max_calls": 500}

        def upstream(configuration: dict[str, Any]) -> None:
            configuration["upstreams"]["demo"]["connections"] = 2

        def grpcio(configuration: dict[str, Any]) -> None:
            configuration["upstreams"]["demo"]["transport"] = "grpcio"

        def issuers(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][0]["leeway"] = "20s"

        for change in (limits, upstream, issuers, grpcio, elsewhere):
            assert await gateway.reconfigure(change)
            await load.more(20)
        reply = await stream
        assert reply.code == 0
        assert len(reply.messages) == 60
    assert set(load.codes) == {0}
    figures(calls=len(load.codes), failed=sum(map(bool, load.codes)), streams=1, reloads=5)


async def test_what_a_call_began_with_it_ends_with() -> None:
    async with running() as gateway:
        stream = asyncio.create_task(gateway.post(DEMO + "Count", count(30, 50)))
        await eventually(lambda: gateway.backend_calls == 1)
        before = gateway.gateway.upstream("demo")
        assert isinstance(before, H2Upstream)

        def forbid(configuration: dict[str, Any]) -> None:
            configuration["authorization"]["rules"] = [{"methods": ["/demo.v1.Demo/Echo"], "roles": ["reader"]}]
            configuration["upstreams"]["demo"]["connections"] = 2

        assert await gateway.reconfigure(forbid)
        async with untouched(gateway):
            assert (await gateway.post(DEMO + "Count", count(1, 0))).code == 7
        assert gateway.gateway.upstream("demo") is not before
        assert (await gateway.metrics())["gateway_configurations"] == 2
        assert len((await stream).messages) == 30
        assert before.pool.ready
        await eventually(lambda: not before.pool.ready)  # closed with its last call
        assert (await gateway.metrics())["gateway_configurations"] == 1


async def test_what_has_not_changed_is_kept() -> None:
    async with running() as gateway:
        await gateway.echo()
        upstream, tokens = gateway.gateway.upstream("demo"), gateway.gateway.succession.current.tokens

        assert await gateway.reconfigure(elsewhere)
        assert gateway.gateway.upstream("demo") is upstream
        assert gateway.gateway.succession.current.tokens is tokens
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0
        await eventually(lambda: gateway.gateway.succession.living == 1)
        assert (await gateway.echo()).code == 0  # what is still used was not closed


async def test_an_origin_that_is_taken_away_is_refused_at_once() -> None:
    async with running() as gateway:
        assert (await gateway.echo()).code == 0

        def without(configuration: dict[str, Any]) -> None:
            configuration["cors"]["allow_origins"].remove(ORIGIN)

        assert await gateway.reconfigure(without)
        async with untouched(gateway):
            assert (await gateway.echo()).http == 403


async def test_a_bad_configuration_is_refused_whole() -> None:
    async with running() as gateway:

        def bad(configuration: dict[str, Any]) -> None:
            elsewhere(configuration)
            configuration["authorization"]["rules"].append({"methods": ["not a method"], "roles": ["reader"]})
            tls = configuration["upstreams"]["demo"]["tls"]
            tls["private_key"] = configuration["listeners"][1]["tls"]["private_key"]

        with capture_logs() as events:
            assert not await gateway.reconfigure(bad)
        (refused,) = [event for event in events if event["event"] == "configuration_refused"]
        told = "\n".join(refused["problems"])  # as `check` tells them: not only those that keep it from being read
        assert "authorization.rules" in told
        assert "upstreams.demo.tls.private_key" in told
        assert len(refused["problems"]) == 2
        assert (await gateway.metrics())["gateway_configuration_refused"] == 1
        async with untouched(gateway):
            assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).http == 403
        assert (await gateway.echo()).code == 0
        assert await gateway.reconfigure(lambda _configuration: None)
        assert (await gateway.metrics())["gateway_configuration_refused"] == 0


async def test_keys_that_do_not_come_keep_the_old_configuration() -> None:
    """All of it: what is wrong shows only when the new one is built, and it is not half in use by then."""
    async with running() as gateway:
        before, upstream = await gateway.gateway.configuration(), gateway.gateway.upstream("demo")
        room = gateway.gateway.census.max_connections

        def keys_and_all(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][0]["jwks"] = "http://127.0.0.1:1/jwks"
            elsewhere(configuration)
            configuration["limits"] = {"max_connections": room - 1}
            configuration["upstreams"]["demo"]["connections"] = 2

        with capture_logs() as events:
            assert not await gateway.reconfigure(keys_and_all)
        (refused,) = [event for event in events if event["event"] == "configuration_refused"]
        assert "auth.issuers[0].jwks" in refused["problems"][0]
        async with untouched(gateway):
            assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).http == 403
        assert await gateway.gateway.configuration() == before
        assert gateway.gateway.census.max_connections == room
        assert gateway.gateway.upstream("demo") is upstream
        assert (await gateway.echo()).code == 0


async def test_an_address_stays_and_the_rest_changes() -> None:
    async with running() as gateway:

        def move(configuration: dict[str, Any]) -> None:
            configuration["listeners"][0]["bind"] = "127.0.0.1:1"
            elsewhere(configuration)

        with capture_logs() as events:
            assert await gateway.reconfigure(move)
        (told,) = [event for event in events if event["event"] == "restart_needed"]
        assert told["sections"] == ["listeners"]
        assert (await gateway.metrics())["gateway_restart_needed"] == 1
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0


# Where certificates are read for a reload: when they are judged, and once more for what they are used for.
READERS = {
    "listener": (listeners, "server_tls", "listeners[1].tls.certificate"),
    "upstream": (generation, "make_upstream", "upstreams.demo.tls.certificate"),
}


@pytest.mark.parametrize("whose", READERS)
@pytest.mark.parametrize("mended", [False, True])
async def test_a_certificate_that_changes_during_a_reload_refuses_it_and_the_next_one_is_taken(
    whose: str, mended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mended`: by the time that one asks what is wrong with it."""
    async with running() as gateway:
        settings = gateway.gateway.settings
        tls = settings.listeners[1].tls if whose == "listener" else settings.upstreams["demo"].tls
        assert tls is not None
        assert tls.certificate is not None
        good = tls.certificate.read_bytes()

        def everything(configuration: dict[str, Any]) -> None:
            elsewhere(configuration)
            configuration["upstreams"]["demo"]["connections"] = 2

        module, name, key = READERS[whose]
        read = getattr(module, name)

        def read_in_a_bad_moment(*arguments: Any) -> Any:
            tls.certificate.write_text("half of it")
            try:
                return read(*arguments)
            finally:
                if mended:
                    tls.certificate.write_bytes(good)

        with monkeypatch.context() as patch, capture_logs() as events:
            patch.setattr(module, name, read_in_a_bad_moment)
            assert not await gateway.reconfigure(everything)
        (refused,) = [event for event in events if event["event"] == "configuration_refused"]
        (problem,) = refused["problems"]
        assert f"{tls.certificate} holds no certificate" in problem
        assert (key in problem) != mended
        assert (await gateway.echo()).code == 0
        async with untouched(gateway):
            assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).http == 403
        tls.certificate.write_bytes(good)
        assert await gateway.reconfigure(everything)
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0


async def test_a_defect_refuses_a_configuration_and_not_the_ones_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a defect")

    async with running() as gateway:
        with monkeypatch.context() as patch, capture_logs() as events:
            patch.setattr(generation.Generation, "build", broken)
            assert not await gateway.reconfigure(elsewhere)
        assert [event["event"] for event in events] == ["unexpected_error", "configuration_refused"]
        assert (await gateway.metrics())["gateway_configuration_refused"] == 1
        assert (await gateway.echo()).code == 0
        assert await gateway.reconfigure(elsewhere)
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0


async def test_connections_that_wait_to_be_accepted_outlive_a_change() -> None:
    """Who has connected while the servers change is served by one of them."""
    async with running() as gateway:
        for index in range(10):

            def change(configuration: dict[str, Any], index: int = index) -> None:
                configuration["listeners"][0]["http2"] = index % 2 == 1

            replies = [asyncio.create_task(gateway.echo()) for _ in range(20)]
            assert await gateway.reconfigure(change)
            assert {reply.code for reply in await asyncio.gather(*replies)} == {0}


async def test_the_house_is_as_full_after_a_change_as_before() -> None:
    """Or whoever may change a comma could let in as many again."""

    def limit(configuration: dict[str, Any], most: int) -> None:
        configuration["limits"] = {"max_calls": most, "max_calls_per_peer": most}

    async with running(lambda configuration: limit(configuration, 3)) as gateway:
        streams = [asyncio.create_task(gateway.post(DEMO + "Count", count(100, 20))) for _ in range(2)]
        await eventually(lambda: gateway.backend_calls == 2)
        assert await gateway.reconfigure(lambda configuration: limit(configuration, 2))
        async with untouched(gateway):
            assert (await gateway.echo()).code == 8
        assert {reply.code for reply in await asyncio.gather(*streams)} == {0}
        assert (await gateway.echo()).code == 0
