"""The files that Envoy runs with."""

from pathlib import Path

import pytest

from gateway.envoy.output import Request, rendering_of, write
from gateway.settings import SettingsError
from tests.unit.envoy.reading import FILES, ISSUER, read, settings

TLS = {"bind": "127.0.0.1:1", "tls": FILES}


async def test_without_an_output_certificates_are_read_once() -> None:
    request = Request(Path("/etc/gateway.yaml"))
    rendering = await rendering_of(settings(listeners=[TLS]), request)
    assert request.secrets is None
    assert rendering.secrets == {}
    assert "watched" not in rendering.text


async def test_with_an_output_they_are_watched_by_files_beside_it(tmp_path: Path) -> None:
    request = Request(tmp_path / "gateway.yaml", tmp_path / "made" / "my.envoy.yaml")
    rendering = await rendering_of(settings(tmp_path, listeners=[TLS]), request)
    written = write(request, rendering)
    folder = tmp_path / "made" / "my.envoy-secrets"
    assert written == [request.output, *(folder / name for name in rendering.secrets)]
    assert rendering.secrets
    assert request.output is not None
    assert request.output.read_text() == rendering.text
    for name, text in rendering.secrets.items():
        assert (folder / name).read_text() == text
        assert str(folder / name) in rendering.text


async def test_where_envoy_is_elsewhere(tmp_path: Path) -> None:
    request = Request(tmp_path / "gateway.yaml", tmp_path / "envoy.yaml", base="/etc/envoy")
    rendering = await rendering_of(settings(tmp_path, listeners=[TLS]), request)
    assert str(tmp_path) not in rendering.text
    written = write(request, rendering)
    for name in rendering.secrets:
        assert f"/etc/envoy/envoy-secrets/{name}" in rendering.text
        assert tmp_path / "envoy-secrets" / name in written


async def test_a_relative_output_is_named_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Request(Path("gateway.yaml"), Path("envoy.yaml")).secrets == tmp_path / "envoy-secrets"
    rendering = await rendering_of(settings(listeners=[TLS]), Request(Path("gateway.yaml"), Path("envoy.yaml")))
    [secret] = read(rendering.text)["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"][
        "typed_config"
    ]["common_tls_context"]["tls_certificate_sds_secret_configs"]
    assert secret["sds_config"]["path_config_source"]["path"].startswith(str(tmp_path / "envoy-secrets"))


async def test_offline_asks_nobody() -> None:
    made = settings(auth={"issuers": [{**ISSUER, "issuer": "http://127.0.0.1:1", "jwks": "discover"}]})
    with pytest.raises(SettingsError, match="cannot discover key sets"):
        await rendering_of(made, Request(Path("/etc/gateway.yaml"), offline=True))
    with pytest.raises(SettingsError, match="discovery failed"):
        await rendering_of(made, Request(Path("/etc/gateway.yaml")))


async def test_what_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    request = Request(tmp_path / "gateway.yaml", tmp_path / "file" / "envoy.yaml")
    with pytest.raises(OSError, match="file"):
        write(request, await rendering_of(settings(), request))
