"""The files of envoy/, run: Envoy, and this gateway with the same gateway.yaml, before the demonstration's backend."""

import asyncio
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from gateway.demo.pb import demo_pb2
from gateway.demo.pki import Pki
from tests.envoy.deployed import PATIENCE, Deployment, deployment, serving
from tests.envoy.manifests import CONTAINER, README, SERVICES
from tests.envoy.proxied import status
from tests.support.frames import message
from tests.support.wire import connect

HELLO = message(demo_pb2.EchoRequest(text="hello"))
BOTH = pytest.mark.parametrize("proxy", ["envoy", "gateway"])
HEALTHY = SERVICES["envoy"]["healthcheck"]["test"][1:]
PRE_STOP = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Deployment]:
    with deployment(tmp_path / "etc") as made:
        yield made


@BOTH
async def test_it_serves_and_refuses(made: Deployment, proxy: str) -> None:
    bearer = ("authorization", f"Bearer {await made.token()}")
    async with serving(made, proxy):
        answer = await made.call("Echo", HELLO, bearer)
        assert status(answer) == 0
        assert demo_pb2.EchoReply.FromString(answer.grpc()[0][0]).text == "hello"
        assert status(await made.call("Shout", HELLO, bearer)) == 7
        assert status(await made.call("Echo", HELLO)) == 16
        assert (await made.call("Echo", HELLO, bearer, ("origin", "https://foreign.example.com"))).status == 403


@BOTH
async def test_probes_and_prometheus_get_their_pages(made: Deployment, proxy: str) -> None:
    async with serving(made, proxy):
        for page in ("/healthz", "/readyz"):
            assert (await made.page(page))[0] == 200
        assert re.search(r"^# TYPE ", (await made.page("/metrics"))[1], re.MULTILINE)


@BOTH
@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_commands_for_a_call(made: Deployment, proxy: str) -> None:
    call = re.search(r"^\$ (TOKEN=.*)\n\$ (printf .*)$", README, re.MULTILINE)
    assert call is not None
    script = made.here(f"{call[1]}\n{call[2]}\n")
    shutil.copy(made.folder / "tls" / "ca.pem", made.folder)
    async with serving(made, proxy):
        done = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", script], cwd=made.folder, capture_output=True, text=True, timeout=PATIENCE
        )
    assert done.stderr == ""
    assert done.stdout.partition("M-^@")[0].endswith("^Ehello")
    assert "grpc-status:0^M\n" in done.stdout


async def test_the_health_check_of_its_container(made: Deployment) -> None:
    assert await asyncio.to_thread(made.shell, HEALTHY) != 0
    async with serving(made, "envoy"):
        assert await asyncio.to_thread(made.shell, HEALTHY) == 0


async def test_before_it_is_stopped_it_asks_for_no_more_calls_and_goes_on_to_serve(made: Deployment) -> None:
    bearer = ("authorization", f"Bearer {await made.token()}")
    script = [re.sub(r"\bsleep \d+$", "true", word) for word in PRE_STOP]
    assert script != PRE_STOP
    async with serving(made, "envoy"):
        before = await made.call("Echo", HELLO, bearer)
        assert await asyncio.to_thread(made.shell, script) == 0
        assert (await made.page("/readyz"))[0] == 503
        assert (await made.page("/healthz"))[0] == 200
        assert await asyncio.to_thread(made.shell, HEALTHY) != 0
        answer = await made.call("Echo", HELLO, bearer)
    assert status(answer) == 0
    assert (before.value("connection"), answer.value("connection")) == (None, "close")


async def test_certificates_that_kubelet_renews_take_effect(made: Deployment, tmp_path: Path) -> None:
    """As a volume of Kubernetes is renewed: the links stay, and `..data`, to which they lead, is replaced."""
    tls = made.folder / "tls"
    (tls / "..first").mkdir()
    for path in [path for path in tls.iterdir() if path.is_file()]:
        path.rename(tls / "..first" / path.name)
        path.symlink_to(f"..data/{path.name}")
    (tls / "..data").symlink_to("..first")
    async with serving(made, "envoy"):
        assert await shown(made) == certificate(tls / "..first" / "server.pem")
        (tls / "..second").mkdir()
        (tmp_path / "pki").mkdir()
        Pki(tmp_path / "pki").publish(tls / "..second")
        (tls / "..data_tmp").symlink_to("..second")
        (tls / "..data_tmp").replace(tls / "..data")
        renewed = certificate(tls / "..second" / "server.pem")
        async with asyncio.timeout(PATIENCE):
            while await shown(made) != renewed:
                await asyncio.sleep(0.05)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


async def shown(made: Deployment) -> x509.Certificate:
    """What a browser is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with connect(made.https, context=context) as wire:
        connection: ssl.SSLObject = wire.writer.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)
