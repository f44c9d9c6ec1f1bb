"""docs/certificates.md: what its lines make is what the example of README.md takes, and strict clients, too."""

import re
import ssl
import subprocess
from pathlib import Path

import pytest

from gateway import check
from gateway.settings import parse
from tests.integration.readme.page import ROOT, YAML

RECIPE = ROOT / "docs" / "certificates.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (lines,) = re.findall(r"```sh\n(.*?)```", RECIPE.read_text(), re.DOTALL)
    folder = tmp_path_factory.mktemp("recipe")
    subprocess.run(["sh", "-e", "-c", lines], cwd=folder, check=True, capture_output=True)
    return folder


def test_the_files_are_those_of_the_example(made: Path) -> None:
    assert check.run(parse(YAML[0].text, made), offline=True) == []


def test_a_strict_client_takes_them(made: Path) -> None:
    tls = made / "tls"
    context = ssl.create_default_context(cafile=tls / "ca.pem")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tls / "backend.pem", tls / "backend.key")
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(theirs, ours, server_hostname="shop.internal")
    server = serving.wrap_bio(ours, theirs, server_side=True)
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.version() == "TLSv1.3"
