"""Which client an upstream is called with."""

from pathlib import Path

import pytest

from gateway.settings import Limits
from gateway.upstream.factory import make_upstream
from gateway.upstream.grpcio import GrpcioUpstream
from gateway.upstream.h2 import H2Upstream
from gateway.upstream.tls import CertificateError
from tests.support.backend_http2 import papers
from tests.unit.upstream.caller import settings


@pytest.mark.parametrize(
    ("transport", "targets", "kind"),
    [
        ("auto", ("127.0.0.1:1",), H2Upstream),
        ("auto", ("dns:///a.test:1", "unix:/s"), H2Upstream),
        ("auto", ("xds:///shop",), GrpcioUpstream),
        ("auto", ("127.0.0.1:1", "dns://192.0.2.53/a.test:1"), GrpcioUpstream),
        ("h2", ("127.0.0.1:1",), H2Upstream),
        ("grpcio", ("127.0.0.1:1",), GrpcioUpstream),
    ],
)
async def test_the_transport(transport: str, targets: tuple[str, ...], kind: type) -> None:
    upstream = make_upstream("shop", settings(*targets, transport=transport), Limits())
    assert type(upstream) is kind
    assert (upstream.name, upstream.credentials, upstream.problem) == ("shop", None, None)
    await upstream.close()  # though it never started


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_bad_files_stop_the_start(transport: str, tmp_path: Path) -> None:
    tls = papers(tmp_path).tls(certificate=tmp_path / "none.pem")
    with pytest.raises(CertificateError, match="no such file"):
        make_upstream("shop", settings("127.0.0.1:1", tls=tls, transport=transport), Limits())
