"""Where Envoy finds files, and what it watches."""

from pathlib import Path

import pytest

from gateway.envoy import Files
from gateway.envoy.render import render
from tests.unit.envoy.reading import FILES, ISSUER, LEAST, cluster, context, listener, read, rendering, settings

HERE = Path("/srv/gateway")


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/srv/gateway/tls/server.pem", "/etc/envoy/tls/server.pem"),
        ("/srv/gateway/server.pem", "/etc/envoy/server.pem"),
        ("/srv/gateway-other/server.pem", "/srv/gateway-other/server.pem"),
        ("/srv/server.pem", "/srv/server.pem"),
        ("/etc/ssl/certs/ca.pem", "/etc/ssl/certs/ca.pem"),
    ],
)
def test_what_is_beside_gateway_yaml_moves_with_base_and_nothing_else(path: str, seen: str) -> None:
    assert Files(HERE, base="/etc/envoy").path(Path(path)) == seen
    assert Files(HERE, base="/etc/envoy/").source(Path(path)) == {"filename": seen}
    assert Files(HERE).path(Path(path)) == path


def test_in_place_is_read_once() -> None:
    files = Files.in_place()
    assert not files.watched
    assert files.identity("x", Path("/a/c.pem"), Path("/a/c.key")) == {
        "tls_certificates": [{"certificate_chain": {"filename": "/a/c.pem"}, "private_key": {"filename": "/a/c.key"}}]
    }
    assert files.trust("x", Path("/a/ca.pem"), extra=1) == {
        "validation_context": {"trusted_ca": {"filename": "/a/ca.pem"}, "extra": 1}
    }
    assert files.secrets == {}


def test_a_watched_certificate_comes_by_sds() -> None:
    files = Files(HERE, base="/etc/envoy").watching(HERE / "envoy-secrets")
    node = files.identity("shop", HERE / "tls" / "client.pem", HERE / "tls" / "client.key")
    [secret] = node["tls_certificate_sds_secret_configs"]
    [file] = files.secrets
    assert secret["sds_config"]["path_config_source"] == {"path": f"/etc/envoy/envoy-secrets/{file}"}
    [resource] = read(files.secrets[file])["resources"]
    assert resource["name"] == secret["name"]
    assert resource["tls_certificate"] == {
        "certificate_chain": {"filename": "/etc/envoy/tls/client.pem"},
        "private_key": {"filename": "/etc/envoy/tls/client.key"},
        "watched_directory": {"path": "/etc/envoy/tls"},
    }


def test_of_a_pair_in_two_folders_envoy_watches_both_by_itself() -> None:
    files = Files(HERE).watching(HERE)
    files.identity("shop", Path("/etc/ssl/certs/a.pem"), Path("/etc/ssl/private/a.key"))
    [text] = files.secrets.values()
    assert "watched_directory" not in text


def test_a_watched_authority_and_the_conditions_that_stay_in_the_configuration() -> None:
    files = Files(HERE).watching(HERE / "secrets")
    name = {"match_typed_subject_alt_names": ["x"]}
    node = files.trust("shop", HERE / "ca.pem", **name)["combined_validation_context"]
    assert node["default_validation_context"] == name
    assert set(node) == {"default_validation_context", "validation_context_sds_secret_config"}
    assert set(files.trust("door", HERE / "ca.pem")) == {"validation_context_sds_secret_config"}
    for text in files.secrets.values():
        [resource] = read(text)["resources"]
        assert resource["validation_context"] == {
            "trusted_ca": {"filename": "/srv/gateway/ca.pem"},
            "watched_directory": {"path": "/srv/gateway"},
        }
    assert len(files.secrets) == 2


def test_whom_the_system_trusts_is_not_watched() -> None:
    files = Files(HERE).watching(HERE)
    assert set(files.trust("shop", None)) == {"validation_context"}
    assert files.secrets == {}


def test_every_file_of_a_configuration_moves_with_base(tmp_path: Path) -> None:
    for name in ("server.pem", "server.key", "ca.pem", "keys.json", "client.pem", "client.key"):
        (tmp_path / name).touch()
    made = settings(
        tmp_path,
        listeners=[
            {
                "bind": "127.0.0.1:1",
                "tls": {
                    "certificate": "server.pem",
                    "private_key": "server.key",
                    "client_ca": "ca.pem",
                    "client_auth": "optional",
                },
            }
        ],
        auth={"issuers": [{**ISSUER, "jwks": "keys.json"}]},
        upstreams={
            "shop": LEAST["upstreams"]["shop"]
            | {"tls": {"ca": "ca.pem", "certificate": "client.pem", "private_key": "client.key"}}
        },
    )
    for files in (
        Files(tmp_path, base="/etc/envoy"),
        Files(tmp_path, base="/etc/envoy").watching(tmp_path / "envoy-secrets"),
    ):
        made_of = render(made, files)
        everything = made_of.text + "".join(made_of.secrets.values())
        assert str(tmp_path) not in everything
        for name in ("server.pem", "server.key", "ca.pem", "keys.json", "client.pem", "client.key"):
            assert f"/etc/envoy/{name}" in everything
        assert bool(made_of.secrets) == files.watched


def test_watched_certificates_of_listeners_and_upstreams() -> None:
    tls = {**FILES, "client_ca": "/dev/null", "client_auth": "required"}
    made = rendering(
        Files(Path("/etc")).watching(Path("/etc/secrets")),
        listeners=[{"bind": "127.0.0.1:1", "tls": tls}],
        upstreams={"shop": LEAST["upstreams"]["shop"] | {"tls": {**FILES, "ca": "/dev/null"}}},
    )
    config = read(made.text)
    for part in (context(listener(config)["filter_chains"][0]), context(cluster(config))):
        common = part["common_tls_context"]
        assert not {"tls_certificates", "validation_context"} & set(common)
    assert len(made.secrets) == 4
