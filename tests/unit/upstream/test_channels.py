"""What grpc-core's words tell of a call that failed: whether it was surely not sent."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from gateway.upstream.channels import Channels
from tests.unit.upstream.caller import settings

FAILING = "connections to all backends failing; last error: "
REFUSED = "Failed to connect to remote host: Connection refused"


def channels_to(*targets: str) -> Channels:
    return Channels(settings(*targets), max_response=1024, user_agent="test/1")


@contextlib.contextmanager
def nobody(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that refuses connections: bound, not listening."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.bind((host, 0))
        yield one.getsockname()[1]


async def words(channels: Channels) -> str:
    """What grpc-core itself says of a call to nobody."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await channels.take().unary("/test.v1.Test/Do")(b"")
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    return failed.value.details() or ""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "unix"])
async def test_a_call_to_nobody_was_not_sent(host: str, tmp_path: Path) -> None:
    with nobody("::1" if host == "::1" else "127.0.0.1") as port:
        target = {"127.0.0.1": f"127.0.0.1:{port}", "::1": f"[::1]:{port}", "unix": f"unix:{tmp_path}/gone"}[host]
        channels = channels_to(target)
        assert await channels.take().unreached(await words(channels))
        await channels.close()


@pytest.mark.parametrize(
    ("said", "unsent"),
    [
        (f"{FAILING}UNKNOWN: ipv4:127.0.0.1:7: {REFUSED}", True),
        (f"{FAILING}ipv4:127.0.0.1:7: backend unhealthy", True),
        (f"{FAILING}UNKNOWN: ipv4:127.0.0.1:70: {REFUSED}", False),
        (f"{FAILING}UNKNOWN: ipv4:10.0.0.9:7: {REFUSED}", False),  # what stands behind the backend
        (f"orders: {FAILING}UNKNOWN: ipv4:127.0.0.1:7: {REFUSED}", False),
        (f"{FAILING}UNKNOWN: {REFUSED}", False),
        ("Socket closed", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("target", ["127.0.0.1:7", "localhost:7"])
async def test_words_that_tell_it(said: str, unsent: bool, target: str) -> None:
    channels = channels_to(target)
    assert await channels.take().unreached(said) is unsent
    await channels.close()


@pytest.mark.parametrize("target", ["xds:///orders", "dns://127.0.0.1/localhost:7", "no-such-host.invalid:7"])
async def test_without_an_address_nothing_is_sure(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    channels = channels_to("127.0.0.1:7")
    channel = channels.take()
    channel.target = target
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    assert not await channel.unreached(f"{FAILING}UNKNOWN: ipv4:127.0.0.1:7: {REFUSED}")
    await channels.close()
