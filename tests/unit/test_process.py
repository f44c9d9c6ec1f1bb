"""A gateway as a process: signals while it starts, and what it tells the service manager."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.process import tell_manager, until_signalled
from gateway.settings import parse

CONFIGURATION = """
listeners: [{bind: "127.0.0.1:0"}]
upstreams:
  backend: {services: [demo.v1.Demo], targets: ["127.0.0.1:1"], plaintext: true, allow_insecure_tokens: true}
"""


def not_yet() -> None:
    pytest.fail("it has not started")


async def test_a_signal_ends_a_start_that_takes_long(tmp_path: Path) -> None:
    async def start() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await until_signalled(Gateway(parse(CONFIGURATION, tmp_path)), not_yet, start=start)


@pytest.mark.parametrize("by_nohup", [True, False])
async def test_who_was_started_by_nohup_outlives_its_terminal(by_nohup: bool, tmp_path: Path) -> None:
    outlived = False

    async def start() -> None:
        nonlocal outlived
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        outlived = True
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if by_nohup else signal.SIG_DFL)
    try:
        async with asyncio.timeout(5):
            await until_signalled(Gateway(parse(CONFIGURATION, tmp_path)), not_yet, start=start)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert outlived == by_nohup


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    address = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address if abstract else address)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + address if abstract else address)
        tell_manager("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_nobody_has_to_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/gone")
    tell_manager("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    tell_manager("READY=1")
