"""The configuration that a pod finds at its mount, and the files that it names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import check
from gateway.settings import Settings, load
from tests.support import certificates
from tests.support.tokens import ec_key, jwk, jwks
from tests.unit.deploy_chart.chart import Object, Release

MOUNT = "/etc/grpcweb-gateway"


def mounted(release: Release, pod: Object, folder: Path) -> None:
    """Puts below `folder` what the pod finds at its mount, with certificates and keys that are good."""
    (volume,) = pod["spec"]["volumes"]
    authority = certificates.authority()
    for source in volume["projected"]["sources"]:
        ((kind, wanted),) = source.items()
        if kind == "configMap" and wanted["name"] == release.one("ConfigMap")["metadata"]["name"]:
            content = {path: text.encode() for path, text in release.one("ConfigMap")["data"].items()}
        else:
            certificate, key = certificates.leaf(authority, "any.example")
            known = {
                "tls.crt": certificate,
                "tls.key": certificates.key_pem(key),
                "ca.crt": authority.pem,
                "jwks.json": jwks(jwk(ec_key("issuer"), "issuer")),
            }
            content = {item["path"]: known[item["key"]] for item in wanted["items"]}
        for path, text in content.items():
            (folder / path).write_bytes(text)


def settings(release: Release, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    mounted(release, release.pod, folder)
    for variable in release.container.get("env", ()):
        monkeypatch.setenv(variable["name"], "secret")
    return load(folder / "gateway.yaml")


def test_check_finds_the_configuration_fine(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check.run(settings(release, tmp_path, monkeypatch), offline=True) == []


def paths(value: object) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from paths(inner)


def test_what_the_configuration_names_lies_beside_it(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {path for path in paths(settings(release, tmp_path, monkeypatch).model_dump()) if path.is_absolute()}
    assert len(named) >= 5
    assert {path.parent for path in named} == {tmp_path}  # only there does the watch hear of kubelet's swap
    assert {path.name for path in named} | {"gateway.yaml"} == {path.name for path in tmp_path.iterdir()}


def test_the_volume_is_mounted_where_the_program_looks_and_follows_its_sources(release: Release) -> None:
    for pod in (release.pod, release.one("Pod", "-check")):
        (container,), (volume,) = pod["spec"]["containers"], pod["spec"]["volumes"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": MOUNT, "readOnly": True}]
        assert container["args"][-1] == f"{MOUNT}/gateway.yaml"
        assert volume["projected"]["defaultMode"] == 0o440
    assert release.pod["spec"]["volumes"] == release.one("Pod", "-check")["spec"]["volumes"]


def test_certificates_come_into_the_secrets_that_are_mounted() -> None:
    release = Release("shop")
    made = {one["spec"]["secretName"]: one["spec"]["usages"] for one in release.all("Certificate")}
    (volume,) = release.pod["spec"]["volumes"]
    sources = [source["secret"] for source in volume["projected"]["sources"] if "secret" in source]
    assert {secret["name"] for secret in sources} == set(made)
    for secret in sources:
        role = "server" if {"key": "tls.crt", "path": "server.crt"} in secret["items"] else "client"
        assert f"{role} auth" in made[secret["name"]]
    assert Release("everything").all("Certificate") == []
