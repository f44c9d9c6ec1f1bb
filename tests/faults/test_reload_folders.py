"""Folders that are gone for a moment, with all that is watched in them: what comes back is taken up."""

import asyncio
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from gateway import reload
from gateway.demo.pki import Pki
from tests.support.gateway import RunningGateway, eventually, running

NAMES = ("certificate", "private_key")


def apart(configuration: dict[str, Any], pki: Pki) -> None:
    """The pairs of the listener and of the upstream are in folders of their own."""
    base = pki.ca.parent
    for tls, name in (
        (configuration["listeners"][1]["tls"], "shown"),
        (configuration["upstreams"]["demo"]["tls"], "ours"),
    ):
        folder = base / "apart" / name
        folder.mkdir(parents=True)
        for key in NAMES:
            tls[key] = str(shutil.copy(base / tls[key], folder / f"{key}.pem"))


def removed(folder: Path) -> None:
    shutil.rmtree(folder)


def moved_away(folder: Path) -> None:
    folder.rename(folder.with_name(f"old-{folder.name}"))


async def shown(gateway: RunningGateway) -> int:
    """The serial number of the listener's certificate."""
    context = ssl.create_default_context(cafile=str(gateway.world.pki.ca))
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.tls_port, ssl=context, server_hostname="localhost")
    raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return x509.load_der_x509_certificate(raw).serial_number


def ours(gateway: RunningGateway) -> bytes:
    """The certificate for the backend."""
    credentials = gateway.gateway.upstream("demo").credentials
    assert credentials is not None
    assert credentials.identity is not None
    return credentials.identity.certificate


@pytest.mark.parametrize("go", [removed, moved_away])
async def test_certificates_are_renewed_after_their_folder_was_gone(
    go: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 0.1)
    async with running(pki_change=apart) as gateway:
        pki = gateway.world.pki
        folder = pki.ca.parent / "apart"
        listener, upstream = gateway.gateway.listeners[1], gateway.gateway.succession.current.upstreams["demo"]
        assert upstream.renewal is not None
        before = await shown(gateway)

        for name in ("shown", "ours"):
            go(folder / name)
        await eventually(lambda: listener.renewal.failed, 10)  # the alarm
        await eventually(lambda: upstream.renewal is not None and upstream.renewal.failed, 10)
        assert (await gateway.echo()).code == 0

        for name, pair in (("shown", pki.issue("again", "localhost")), ("ours", pki.issue("renewed", "gateway"))):
            (folder / name).mkdir(parents=True)
            shutil.copy(pair.certificate, folder / name / "certificate.pem")
            shutil.copy(pair.private_key, folder / name / "private_key.pem")
        renewed = (folder / "ours" / "certificate.pem").read_bytes()
        await eventually(lambda: ours(gateway) == renewed, 10)
        async with asyncio.timeout(10):
            while await shown(gateway) == before:
                await asyncio.sleep(0.05)
        assert not listener.renewal.failed
        assert not upstream.renewal.failed
