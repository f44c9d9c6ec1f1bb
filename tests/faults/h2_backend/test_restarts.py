"""Backends over HTTP/2 that leave, die and come back, or whose certificates are renewed, under calls."""

import asyncio
import time
from pathlib import Path

import pytest

from gateway.protocol.status import Status
from gateway.upstream import pool
from tests.faults.h2_backend.load import AT_ONCE, CALL, FAST, OK, Ledger, to, under_load
from tests.support.backend_http2 import Backend, Connection, Request, backend, papers
from tests.support.certificates import authority, leaf, write_pair
from tests.support.frames import message
from tests.support.gateway import running

# --- leaving


async def test_a_rolling_restart_loses_nothing() -> None:
    ledger = Ledger()
    async with backend(ledger) as one, backend(ledger) as two, backend(ledger) as three:
        async with running(to(one, two, three)) as gateway, under_load(gateway) as load:
            for each in (one, two, three):
                await each.until(lambda each=each: bool(each.standing))  # type: ignore[misc]
            for each in (one, two, three, one):
                await load.more(50)
                old = each.standing
                each.stop()
                for connection in old:
                    connection.say_goaway()
                    connection.say_goaway(max(connection.requests, default=0))
                await each.until(lambda old=old: all(connection.closed for connection in old))  # type: ignore[misc]
                await load.more(20)
                await each.start()
                await each.until(lambda each=each: bool(each.standing))  # type: ignore[misc]
        assert load.codes.keys() == {0}
        assert set(ledger.processed.values()) == {1}
        assert len(ledger.processed) == load.calls


async def test_connections_of_a_limited_age_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one backend that there is takes its leave of every connection, and takes new ones."""
    monkeypatch.setattr(pool, "STOOD", 0.02)
    ledger = Ledger()
    async with backend(ledger) as there, running(to(there)) as gateway, under_load(gateway) as load:
        for age in range(20):
            await there.until(lambda age=age: len(there.connections) > age and bool(there.connections[-1].requests))  # type: ignore[misc]
            await load.more(10)
            connection = there.connections[-1]
            connection.say_goaway()
            await asyncio.sleep(0.002)  # as long as a round trip
            if not connection.closed:  # it may have had nothing more to do
                connection.say_goaway(max(connection.requests))
        await load.more(10)
        await there.until(lambda: len(there.standing) == 1)
    assert load.codes.keys() == {0}
    assert set(ledger.processed.values()) == {1}


async def test_a_backend_that_is_killed_fails_what_it_had_once_and_comes_back() -> None:
    ledger = Ledger()
    async with backend(ledger) as one, backend(ledger) as two:
        async with running(to(one, two)) as gateway, under_load(gateway) as load:
            for _ in range(3):
                await load.more(50)
                one.die()
                await load.more(50)
                await one.start()
                await one.until(lambda: bool(one.standing))
            failed = load.codes[14]
            await load.more(50)
            assert load.codes[14] == failed
        assert load.codes.keys() <= {0, 14}
        assert failed <= 3 * 8  # what was on the connection when it was lost
        assert set(ledger.processed.values()) == {1}  # no call was sent twice


async def test_a_backend_that_is_down_is_found_again_within_seconds() -> None:
    async with backend() as there, running(to(there)) as gateway:
        await there.until(lambda: bool(there.standing))
        there.die()
        await asyncio.sleep(1.0)
        started = time.monotonic()
        reply = await gateway.post(CALL, message(b""))
        assert (reply.code, reply.status) == (14, Status(14, "the backend cannot be reached"))
        assert time.monotonic() - started < AT_ONCE
        await there.start()
        started = time.monotonic()
        async with asyncio.timeout(3):
            while (await gateway.post(CALL, message(b""))).code:
                await asyncio.sleep(0.02)


# --- renewal


async def connections_of_lasting(there: Backend, count: int) -> set[Connection]:
    """Those which have the calls that last, once there are so many of these."""

    def lasting() -> list[Request]:
        return [each for each in there.requests if each.fields[b":path"] == FAST.encode()]

    await there.until(lambda: len(lasting()) == count)
    return {each.connection for each in lasting()}


async def test_certificates_renewed_under_calls(tmp_path: Path) -> None:
    """Calls that last go on under the old identity; the old connection closes with them; nothing fails."""
    files = papers(tmp_path)
    ledger = Ledger()
    finish = asyncio.Event()

    async def answer(request: Request) -> None:
        if request.fields[b":path"] == FAST.encode():
            request.head()
            await request.send(message(b"begun"))
            await finish.wait()
            request.trailers(OK)
        else:
            await ledger(request)

    async with backend(answer, context=files.context()) as there:
        async with running(to(there, tls=files.tls(), connections=2)) as gateway, under_load(gateway) as load:
            await there.until(lambda: len(there.standing) == 2)
            lasting = [asyncio.create_task(gateway.post(FAST, message(b""))) for _ in range(4)]
            first = await connections_of_lasting(there, 4)
            for name in ("second.test", "third.test"):
                await load.more(50)
                known = len(there.connections)
                files.issue(name, "gateway")
                await there.until(lambda known=known: len(there.connections) == known + 2)  # type: ignore[misc]
                await load.more(50)
                assert {each.identities for each in there.connections[known:]} == {(name,)}
            # The second pair had no call that lasts, nor had one of the first, if all of them were on the other.
            await there.until(lambda: len(there.standing) == len(first) + 2)
            assert first <= set(there.standing)
            assert {each.identities for each in first} == {("gateway.test",)}
            finish.set()
            assert [reply.code for reply in await asyncio.gather(*lasting)] == [0] * 4
            await there.until(lambda: {each.identities for each in there.standing} == {("third.test",)})
        assert load.codes.keys() == {0}
        assert set(ledger.processed.values()) == {1}


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_an_authority_is_replaced_under_calls(tmp_path: Path, transport: str) -> None:
    """As it is done: both are believed, then both ends show what the new one has signed, then it is believed alone."""
    files, new = papers(tmp_path), authority("new authority")
    context = files.context()
    ledger = Ledger()
    async with backend(ledger, context=context) as there:
        async with running(to(there, tls=files.tls(), transport=transport)) as gateway, under_load(gateway) as load:

            async def replaced(by: str) -> None:
                """Every connection, by new ones of that identity."""
                old = list(there.connections)
                await load.more(50)  # on old ones or new ones
                await there.until(lambda: len(there.connections) > len(old) and all(each.closed for each in old))
                await load.more(50)
                assert {each.identities for each in there.standing} == {(by,)}

            await load.more(50)
            files.ca.write_bytes(files.signer.pem + new.pem)
            await replaced("gateway.test")
            context.load_verify_locations(cadata=new.pem.decode())
            context.load_cert_chain(*write_pair(tmp_path, *leaf(new, "backend.test"), stem="backend"))
            write_pair(tmp_path, *leaf(new, "renewed.test"), stem="gateway")
            await replaced("renewed.test")
            files.ca.write_bytes(new.pem)
            await replaced("renewed.test")
        assert load.codes.keys() == {0}
        assert set(ledger.processed.values()) == {1}
