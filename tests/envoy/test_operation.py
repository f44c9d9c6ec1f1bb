"""What an operator relies on: dead targets, deadlines, limits, the admin pages, the access log."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.envoy.backend import Backend
from tests.envoy.proxied import (
    ORIGIN,
    SCRIPTS,
    Document,
    bearer,
    demo,
    document,
    path,
    plaintext,
    proxied,
    scripted,
    status,
)
from tests.envoy.script import Data, head, message, trailers
from tests.support.tokens import KeyWorld
from tests.support.wire import connect, request

HEALTH = "/grpc.health.v1.Health/Check"
DEADLINE_EXCEEDED, PERMISSION_DENIED, UNIMPLEMENTED, UNAVAILABLE, UNAUTHENTICATED = 4, 7, 12, 14, 16


@pytest.fixture
def dead() -> Iterator[int]:
    """A port on which nobody listens, and nobody else can."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


# -- dead targets ------------------------------------------------------------------------------------------------------


async def test_an_idempotent_method_finds_the_living_target(dead: int, tmp_path: Path) -> None:
    async with scripted(None) as (backend, [port]):
        upstreams = plaintext(dead, port, idempotent_methods=[path("Ping")])
        async with proxied(document(upstreams=upstreams), tmp_path) as to:
            assert [status(await to.call(path("Ping"))) for _ in range(6)] == [0] * 6
            others = [status(await to.call(path("Refuse"))) for _ in range(4)]
    assert sorted(others) == [5, 5, UNAVAILABLE, UNAVAILABLE]
    assert len(backend.arrivals) == 8


async def test_only_an_idempotent_method_is_sent_again_when_the_backend_is_unavailable(tmp_path: Path) -> None:
    async with scripted(None) as (backend, [port]):
        for idempotent, arrivals in (([path("Unavailable")], 3), ([], 1)):
            backend.arrivals = []
            settings = document(upstreams=plaintext(port, idempotent_methods=idempotent))
            async with proxied(settings, tmp_path) as to:
                assert status(await to.call(path("Unavailable"))) == UNAVAILABLE
            assert len(backend.arrivals) == arrivals


async def test_a_target_that_says_it_does_not_serve_gets_no_call(tmp_path: Path) -> None:
    def health(state: bytes) -> Backend:
        return Backend({**SCRIPTS, "Check": (head(), Data(message(b"\x08" + state)), trailers(0))})

    serving, others = health(b"\1"), health(b"\2")
    async with serving.door(None) as port, others.door(None) as second, others.door(None) as third:
        settings = document(upstreams=plaintext(port, second, third, health_check=True))
        async with proxied(settings, tmp_path) as to:
            assert [status(await to.call(path("Ping"))) for _ in range(6)] == [0] * 6
    assert {arrival.value(b":path") for arrival in others.arrivals} == {b"/grpc.health.v1.Health/Check"}


async def test_a_target_that_fails_is_left_alone(dead: int, tmp_path: Path) -> None:
    async with scripted(None) as (_, [port]):
        outliers = {"consecutive_failures": 2, "eject_for": "1m"}
        settings = document(upstreams=plaintext(dead, port, outlier_detection=outliers))
        async with proxied(settings, tmp_path) as to:
            first = [status(await to.call(path("Ping"))) for _ in range(4)]
            await to.until("cluster.script.outlier_detection.ejections_active", 1)
            later = [status(await to.call(path("Ping"))) for _ in range(6)]
    assert sorted(first) == [0, 0, UNAVAILABLE, UNAVAILABLE]
    assert later == [0] * 6


async def test_a_status_that_is_the_callers_fault_is_no_failure(tmp_path: Path) -> None:
    async with scripted(None) as (_, [port]):
        outliers = {"consecutive_failures": 1, "eject_for": "1m"}
        settings = document(upstreams=plaintext(port, outlier_detection=outliers))
        async with proxied(settings, tmp_path) as to:
            assert [status(await to.call(path("Fail"))) for _ in range(3)] == [9, 9, 9]
            assert await to.stat("cluster.script.outlier_detection.ejections_enforced_total") == 0


# -- closed by default -------------------------------------------------------------------------------------------------


async def test_without_rules_and_origins_nobody_may_call(tmp_path: Path) -> None:
    keys = KeyWorld()
    (tmp_path / "keys.json").write_bytes(keys.jwks())
    issuer = {"issuer": keys.issuer, "audiences": [keys.audience], "jwks": "keys.json"}
    token = ("authorization", f"Bearer {keys.token().decode()}")
    async with scripted(None) as (backend, [port]):
        auth = {"issuers": [issuer], "public_methods": []}
        async with proxied(document(auth=auth, cors={}, upstreams=plaintext(port)), tmp_path) as to:
            assert (await to.call(path("Ping"), b"", token)).status == 403  # it has an Origin
        async with proxied(document(auth=auth, upstreams=plaintext(port)), tmp_path) as to:
            assert status(await to.call(path("Ping"), b"", token)) == PERMISSION_DENIED
            assert status(await to.call(path("Ping"))) == UNAUTHENTICATED
    assert backend.arrivals == []


async def test_an_upstream_may_have_any_name_and_gets_its_own_calls_only(tmp_path: Path) -> None:
    async with scripted(None) as (backend, [port]):
        section = plaintext(port)["script"]
        settings = document(upstreams={"nobody": section, "other": {**section, "services": ["test.v1.Other"]}})
        settings["auth"]["public_methods"].append(HEALTH)
        async with proxied(settings, tmp_path) as to:
            assert status(await to.call(path("Ping"))) == 0
            assert status(await to.call(HEALTH)) == UNIMPLEMENTED
            preflight = [("origin", ORIGIN), ("access-control-request-method", "POST")]
            async with connect(to.envoy.ports[0]) as wire:
                assert (await wire.ask(request(path("Ping"), preflight, None, "OPTIONS"))).status in (200, 204)
    assert len(backend.arrivals) == 1


# -- deadlines and limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "asked", "told"),
    [
        ({"default_deadline": "300ms"}, None, b"300m"),
        ({"max_deadline": "300ms"}, None, b"300m"),
        ({"max_deadline": "300ms"}, "1M", b"1M"),
        ({"default_deadline": "200ms", "max_deadline": "10s"}, None, b"200m"),
        ({}, "200m", b"200m"),
        ({"default_deadline": "1m"}, "200m", b"200m"),
    ],
)
async def test_a_deadline_ends_a_call(limits: dict[str, str], asked: str | None, told: bytes, tmp_path: Path) -> None:
    async with scripted(None) as (backend, [port]):
        async with proxied(document(upstreams=plaintext(port), limits=limits), tmp_path) as to:
            timeout = [("grpc-timeout", asked)] if asked else []
            assert status(await to.call(path("Silent"), b"", *timeout)) == DEADLINE_EXCEEDED
            await backend.quiet(2)
        [arrival] = backend.arrivals
    assert arrival.ended.startswith("reset")
    assert arrival.value(b"grpc-timeout") == told


async def test_more_calls_than_there_may_be(tmp_path: Path) -> None:
    async with scripted(None) as (backend, [port]):
        settings = document(upstreams=plaintext(port), limits={"max_calls": 1})
        async with proxied(settings, tmp_path) as to:
            first = asyncio.create_task(to.call(path("Silent"), b"", ("grpc-timeout", "1S")))
            await backend.arrived(3)
            assert status(await to.call(path("Ping"))) == UNAVAILABLE
            assert status(await first) == DEADLINE_EXCEEDED
            assert status(await to.call(path("Ping"))) == 0


async def test_more_connections_than_there_may_be(tmp_path: Path) -> None:
    async with scripted(None) as (_, [port]):
        settings = document(upstreams=plaintext(port), limits={"max_connections": 1})
        async with proxied(settings, tmp_path) as to, connect(to.envoy.ports[0]) as held:
            answer = await held.ask(request("/", method="GET"))
            assert answer.status == 404
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await to.call(path("Ping"))
            assert (await to.admin("/ready"))[0] == 200


# -- the operator's pages ----------------------------------------------------------------------------------------------

OPERATORS = {"/healthz": "", "/readyz": "LIVE", "/metrics": "envoy_"}
OTHERS = [
    ("POST", "/quitquitquit"),
    ("GET", "/config_dump"),
    ("GET", "/"),
    ("GET", "/stats"),
    ("GET", "/logging"),
    ("GET", "/certs"),
    ("GET", "/readyz/"),
    ("GET", "/readyz/../quitquitquit"),
    ("GET", "/readyz%2f..%2fconfig_dump"),
    ("POST", "/readyz"),
    ("POST", "/metrics"),
]


async def test_other_machines_reach_what_probes_need_and_nothing_else(tmp_path: Path) -> None:
    port = _two_free_ports()
    settings = document(upstreams=plaintext(1), admin={"bind": f"0.0.0.0:{port}"})
    async with proxied(settings, tmp_path) as to:
        assert to.envoy.admin.startswith("http://127.0.0.1:")
        assert to.envoy.admin != f"http://127.0.0.1:{port}"
        for page, text in OPERATORS.items():
            async with to.session.get(f"http://127.0.0.2:{port}{page}") as shown:
                assert shown.status == 200
                assert text in await shown.text()
        for method, page in OTHERS:
            async with connect(port) as wire:
                answer = await wire.ask(request(page, method=method))
            assert answer.status == 404, page
        assert (await to.admin("/ready"))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await to.session.get(to.envoy.admin.replace("127.0.0.1", "127.0.0.2"))


def _two_free_ports() -> int:
    """The first of two that are next to each other."""
    for _ in range(100):
        with socket.create_server(("0.0.0.0", 0)) as first:
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 1)):
                return int(port)
    raise AssertionError("no two free ports side by side")


# -- the access log ----------------------------------------------------------------------------------------------------


async def test_the_access_log_has_one_line_for_each_request_with_its_grpc_status(dead: int) -> None:
    def change(edited: Document, _world: Any) -> None:
        edited["observability"] = {"log": {"format": "json"}}
        edited["upstreams"]["dead"] = {**edited["upstreams"]["demo"], "services": ["test.v1.Dead"]}
        edited["upstreams"]["dead"]["targets"] = [f"127.0.0.1:{dead}"]
        edited["authorization"].pop("descriptors")
        edited["authorization"]["rules"].append({"methods": ["/test.v1.Dead/*"], "roles": ["reader"]})

    demo_v1 = "/demo.v1.Demo/"
    async with demo(change) as (world, to):
        token = bearer(world)
        secret = token[1].removeprefix("Bearer ")
        private = [token, ("cookie", "session=hunter2"), ("referer", "https://hunter2.test/")]
        fail = message(b"\x08\x05\x12\x04none")  # code 5
        for target, body, headers in [
            (demo_v1 + "Echo", message(b""), private),
            (demo_v1 + "Fail", fail, private),
            ("/test.v1.Dead/Any", message(b""), private),
            (demo_v1 + "Echo", message(b""), [("cookie", "session=hunter2")]),
            (demo_v1 + "Echo", message(b""), [("authorization", "Bearer hunter2.hunter2.hunter2")]),
            (demo_v1 + "Shout", message(b""), private),
            ("/test.v1.Nobody/Any", message(b""), private),
            (demo_v1 + "Echo?access_token=hunter2", message(b""), private),
            (demo_v1 + "Echo", message(b""), [*private, ("x_user_id", "hunter2")]),
        ]:
            await to.call(target, body, *headers)
        async with connect(to.envoy.ports[0]) as wire:
            foreign = [("content-type", "application/grpc-web"), ("origin", "https://hunter2.test")]
            await wire.ask(request(demo_v1 + "Echo", foreign))
    lines = [(line["method"], line["code"], line["http_status"]) for line in to.log]
    assert lines == [
        (demo_v1 + "Echo", "OK", 200),
        (demo_v1 + "Fail", "NOT_FOUND", 200),
        ("/test.v1.Dead/Any", "UNAVAILABLE", 200),
        (demo_v1 + "Echo", "UNAUTHENTICATED", 200),
        (demo_v1 + "Echo", "UNAUTHENTICATED", 200),
        (demo_v1 + "Shout", "PERMISSION_DENIED", 200),
        ("/test.v1.Nobody/Any", "UNIMPLEMENTED", 200),
        (demo_v1 + "Echo", "INTERNAL", 400),  # no call: what gRPC makes of the HTTP status
        (None, None, 400),
        (demo_v1 + "Echo", "PERMISSION_DENIED", 403),
    ]
    said = "\n".join(to.said)
    assert "hunter2" not in said
    assert secret not in said
    assert {line["event"] for line in to.log} == {"call"}
    assert {line["peer"] for line in to.log} == {"127.0.0.1"}
    assert to.log[0]["upstream"] == "demo"
    assert to.log[0]["reply_bytes"] > 0
