"""What a gateway tells the service manager."""

import socket
from pathlib import Path

import pytest

from gateway.process import tell_manager


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
