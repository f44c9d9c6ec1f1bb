"""What `check` finds before a start: here, what only the library that will use a file can say of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway import check
from gateway.settings import Settings, parse
from tests.support.backend_http2 import Papers, papers
from tests.support.certificates import leaf, write_pair

AUTO, RESOLVED_BY_GRPCIO = "127.0.0.1:1", "xds:///shop"


@pytest.fixture
def weak(tmp_path: Path) -> Papers:
    """A pair that is good in itself, with a key that OpenSSL finds too short."""
    files = papers(tmp_path)
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    write_pair(tmp_path, *leaf(files.signer, "gateway.test", key=key), stem="gateway")
    return files


def settings_for(files: Papers, base: Path, **upstream: Any) -> Settings:
    tls = {name: str(value) for name, value in files.tls().items()}
    configuration = {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "upstreams": {"shop": {"services": ["*"], "tls": tls, **upstream}},
    }
    return parse(json.dumps(configuration), base)


@pytest.mark.parametrize(
    ("transport", "target", "judged"),
    [
        ("h2", AUTO, True),
        ("auto", AUTO, True),
        ("auto", RESOLVED_BY_GRPCIO, False),
        ("grpcio", AUTO, False),
    ],
)
def test_openssl_judges_the_pairs_that_it_will_use(
    weak: Papers, tmp_path: Path, transport: str, target: str, judged: bool
) -> None:
    settings = settings_for(weak, tmp_path, transport=transport, targets=[target])
    problems = list(check.certificate_problems(settings))
    assert [problem.key for problem in problems] == ["upstreams.shop.tls.certificate"] * judged
    assert all("OpenSSL refuses it" in problem.message for problem in problems)


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
def test_files_that_nobody_can_use_are_found_for_both(weak: Papers, tmp_path: Path, transport: str) -> None:
    weak.gateway[1].write_text("-----BEGIN NONSENSE-----\n")
    settings = settings_for(weak, tmp_path, transport=transport, targets=[AUTO])
    (problem,) = check.certificate_problems(settings)
    assert problem.key == "upstreams.shop.tls.private_key"
