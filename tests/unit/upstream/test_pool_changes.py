"""What changes under an upstream: the addresses of its targets, and its certificates."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.protocol.status import Status
from gateway.upstream import pool, resolver
from gateway.upstream.pool import UNREACHABLE
from gateway.upstream.resolver import Address, Target
from gateway.upstream.tls import CertificateError
from tests.support.backend_http2 import Papers, backend, ok, papers
from tests.support.wire import PATIENCE
from tests.unit.upstream.caller import ONE_STREAM, Held, call, ready, upstream_to

OK = Status(0)


@pytest.fixture
def files(tmp_path: Path) -> Papers:
    return papers(tmp_path)


# --- addresses


async def test_addresses_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Held()
    async with backend(answer) as one, backend(ok) as two:
        addresses = [Address("127.0.0.1", one.port)]

        async def resolve(target: Target) -> list[Address]:
            assert target.host == "shop.internal"
            return list(addresses)

        monkeypatch.setattr(resolver, "resolve", resolve)
        monkeypatch.setattr(pool, "RESOLVE_INTERVAL", 0.05)
        async with upstream_to("dns:///shop.internal:443") as upstream:
            old = call(upstream)
            await one.arrivals(1)
            assert one.requests[0].fields[b":authority"] == b"shop.internal:443"
            addresses.append(Address("127.0.0.1", two.port))
            await ready(upstream, 2)
            del addresses[0]
            await ready(upstream, 1)
            for _ in range(6):
                assert await call(upstream).end() == OK
            assert len(one.requests) == 1
            assert len(two.requests) == 6
            assert one.standing  # for the call that runs
            answer.step.release()
            assert await old.end() == OK
            await one.until(lambda: not one.standing)
            await asyncio.sleep(0.3)  # longer than a backoff
            assert len(one.connections) == 1
            addresses.append(Address("127.0.0.1", one.port))
            await ready(upstream, 2)


async def test_a_lost_connection_is_a_reason_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RESOLVE_AGAIN", 0.05)
    async with backend() as one, backend() as two:
        addresses = [Address("127.0.0.1", one.port)]

        async def resolve(_target: Target) -> list[Address]:
            return list(addresses)

        monkeypatch.setattr(resolver, "resolve", resolve)
        async with upstream_to("shop.internal:443") as upstream:
            assert await call(upstream).end() == OK
            addresses[:] = [Address("127.0.0.1", two.port)]
            one.die()
            async with asyncio.timeout(PATIENCE):
                while await call(upstream).end() != OK:
                    await asyncio.sleep(0.01)


async def test_a_resolver_that_fails_is_asked_again_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RESOLVE_AGAIN", 0.05)
    monkeypatch.setattr(pool, "RESOLVE_INTERVAL", 0.1)
    asked = 0
    async with backend() as there:

        async def resolve(_target: Target) -> list[Address]:
            nonlocal asked
            asked += 1
            if asked != 3:
                raise OSError(-2, "Name or service not known")
            return [Address("127.0.0.1", there.port)]

        monkeypatch.setattr(resolver, "resolve", resolve)
        with capture_logs() as events:
            async with upstream_to("shop.internal:443") as upstream:
                assert await call(upstream).end() == UNREACHABLE.status
                assert str(upstream.problem) == "shop.internal:443: Name or service not known"
                async with asyncio.timeout(PATIENCE):
                    while await call(upstream).end() != OK:
                        await asyncio.sleep(0.01)
                async with asyncio.timeout(PATIENCE):
                    while asked < 6:
                        await asyncio.sleep(0.01)
                assert await call(upstream).end() == OK
                assert len(there.connections) == 1
        assert {event["address"] for event in events} == {"shop.internal:443"}


async def test_a_unix_socket(tmp_path: Path) -> None:
    async with backend(path=tmp_path / "s") as there, upstream_to(there) as upstream:
        assert await call(upstream).end() == OK
        assert there.requests[0].fields[b":authority"] == b"localhost"


@pytest.mark.parametrize(
    ("server_name", "status"), [("backend.test", OK), ("localhost", UNREACHABLE.status), (None, UNREACHABLE.status)]
)
async def test_the_name_of_a_backend_behind_a_unix_socket_is_checked(
    files: Papers, server_name: str | None, status: Status
) -> None:
    tls = files.tls(server_name=server_name)
    async with (
        backend(context=files.context(), path=files.folder / "s") as there,
        upstream_to(there, tls=tls) as upstream,
    ):
        assert await call(upstream).end() == status


async def test_an_ipv6_literal() -> None:
    async with backend(host="::1") as there, upstream_to(there) as upstream:
        assert there.target.startswith("[::1]:")
        assert await call(upstream).end() == OK
        assert there.requests[0].fields[b":authority"] == there.target.encode()


async def test_the_authority_is_the_name_that_the_certificate_proves(files: Papers) -> None:
    async with backend(context=files.context()) as there, upstream_to(there, tls=files.tls()) as upstream:
        assert await call(upstream).end() == OK
        fields = there.requests[0].fields
        assert (fields[b":scheme"], fields[b":authority"]) == (b"https", b"backend.test")


async def test_what_targets_have_in_common_is_a_place_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with several addresses: `connections` to each."""
    async with backend() as one, backend() as two:

        async def resolve(_target: Target) -> list[Address]:
            return [Address("127.0.0.1", each.port) for each in (one, two)]

        monkeypatch.setattr(resolver, "resolve", resolve)
        async with upstream_to("shop.internal:443", connections=3) as upstream:
            await ready(upstream, 6)
            counts = Counter({each.port: len(each.connections) for each in (one, two)})
            assert set(counts.values()) == {3}


# --- renewal


async def test_renewed_files_mean_new_connections_and_calls_finish_on_the_old(files: Papers) -> None:
    answer = Held()
    async with (
        backend(answer, context=files.context()) as there,
        upstream_to(there, tls=files.tls(), connections=2) as upstream,
    ):
        await ready(upstream, 2)
        before = set(upstream.pool.ready)
        old = [call(upstream) for _ in range(4)]
        await there.arrivals(4)
        assert not upstream.renew()
        files.issue("renewed.test", "gateway")
        assert upstream.renew()
        assert not upstream.renew()
        during = [call(upstream) for _ in range(4)]
        async with asyncio.timeout(PATIENCE):
            while not before.isdisjoint(upstream.pool.ready):
                await asyncio.sleep(0.005)
        new = [call(upstream) for _ in range(4)]
        await there.arrivals(12)
        assert {request.connection.identities for request in there.requests[:4]} == {("gateway.test",)}
        assert {request.connection.identities for request in there.requests[8:]} == {("renewed.test",)}
        assert len(there.standing) == 4
        for _ in range(12):
            answer.step.release()
        for caller in old + during + new:
            assert await caller.end() == OK
        await there.until(lambda: len(there.standing) == 2)
        assert {connection.identities for connection in there.standing} == {("renewed.test",)}


@pytest.mark.parametrize("bad", ["garbage", "another key"])
async def test_a_bad_pair_changes_nothing(files: Papers, bad: str) -> None:
    async with backend(context=files.context()) as there, upstream_to(there, tls=files.tls()) as upstream:
        assert await call(upstream).end() == OK
        before = upstream.credentials
        if bad == "garbage":
            files.gateway[0].write_text("-----BEGIN NONSENSE-----\n")
        else:
            other = files.issue("renewed.test", "other")
            files.gateway[1].write_bytes(other[1].read_bytes())
        with pytest.raises(CertificateError):
            upstream.renew()
        assert upstream.credentials is before
        there.connections[0].abort()  # the old pair is good for new connections too
        async with asyncio.timeout(PATIENCE):
            while await call(upstream).end() != OK:
                await asyncio.sleep(0.02)
        assert there.connections[1].identities == ("gateway.test",)


async def test_a_renewal_that_the_backend_refuses_keeps_the_old_connection(files: Papers) -> None:
    """New connections fail; the old one goes on, and calls wait for it as before."""
    answer = Held()
    async with (
        backend(answer, context=files.context(), settings=ONE_STREAM) as there,
        upstream_to(there, tls=files.tls()) as upstream,
    ):
        assert await upstream.reachable()
        (files.folder / "elsewhere").mkdir()
        stranger = papers(files.folder / "elsewhere").gateway
        for mine, other in zip(files.gateway, stranger, strict=True):
            mine.write_bytes(other.read_bytes())
        assert upstream.renew()
        async with asyncio.timeout(PATIENCE):
            while not upstream.problem:
                await asyncio.sleep(0.01)
        callers = [call(upstream) for _ in range(3)]
        for caller in callers:
            answer.step.release()
            assert await caller.end() == OK
        assert {request.connection.identities for request in there.requests} == {("gateway.test",)}


async def test_a_pair_that_changes_while_it_is_renewed_is_read_again_the_next_time(
    files: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with backend(context=files.context()) as there, upstream_to(there, tls=files.tls()) as upstream:
        before = upstream.credentials
        files.issue("renewed.test", "gateway")

        def changed(*_given: object) -> None:
            raise CertificateError("certificate", "changed while it was read")

        with monkeypatch.context() as patch:
            patch.setattr(pool, "client_context", changed)
            with pytest.raises(CertificateError):
                upstream.renew()
        assert upstream.credentials is before
        assert upstream.renew()
