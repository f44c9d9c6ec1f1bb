"""The files of envoy/, held against each other: rendered anew, mounted where they are looked for, ports that meet.

Rule: nothing is run here; test_deployed.py does that. test_containers.py looks at images and users.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.demo.pki import Pki
from gateway.settings.quantity import parse_duration
from tests.envoy.manifests import (
    COMPOSE,
    CONTAINER,
    DOCKERFILE,
    ENVOY,
    FOLDER,
    GATEWAY,
    KUSTOMIZATION,
    OBJECTS,
    POD,
    SECRETS,
    SERVICES,
    texts,
    the,
)

BIN = Path(sys.executable).parent


@pytest.fixture
def renderer() -> ModuleType:
    """envoy/ is no package: one of that name would hide the wheel's."""
    spec = importlib.util.spec_from_file_location("render_envoy", FOLDER / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- rendered --------------------------------------------------------------------------------------------------------


def test_they_are_what_gateway_yaml_renders(renderer: ModuleType) -> None:
    rendered = renderer.render()
    committed = {path: path.read_text() for path in (FOLDER / "envoy.yaml", *(FOLDER / "envoy-secrets").iterdir())}
    assert committed == rendered, "envoy/ is stale: run `make envoy`"


def test_the_command_renders_them_too(renderer: ModuleType, tmp_path: Path) -> None:
    shutil.copy(FOLDER / "gateway.yaml", tmp_path)
    for name in renderer.MOUNTED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    options = ["-c", "gateway.yaml", "-o", "envoy.yaml", "--base", "/etc/envoy"]
    command: list[str | Path] = [BIN / "grpcweb-gateway", "envoy", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "envoy.yaml").read_text() == renderer.render()[FOLDER / "envoy.yaml"]
    assert {path.name for path in (tmp_path / "envoy-secrets").iterdir()} == SECRETS.keys()


def test_another_policy_renders_otherwise_and_twice_the_same(renderer: ModuleType, tmp_path: Path) -> None:
    text = (FOLDER / "gateway.yaml").read_text()
    (tmp_path / "gateway.yaml").write_text(text.replace("roles: [admin]", "roles: [operator]"))
    first, second = renderer.render(tmp_path), renderer.render(tmp_path)
    assert first == second
    assert first[tmp_path / "envoy.yaml"] != renderer.render()[FOLDER / "envoy.yaml"]


def test_nothing_of_the_machine_is_in_them() -> None:
    foreign = [text for text in texts([ENVOY, *SECRETS.values()]) if re.match(r"/(?:tmp|home|root|work|var)\b", text)]
    assert foreign == []


# -- mounted -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> dict[str, set[str]]:
    """What is in the folders that the backend's container writes."""
    (tmp_path / "pki").mkdir()
    (tmp_path / "tls").mkdir()
    Pki(tmp_path / "pki").publish(tmp_path / "tls")
    return {"tls": {path.name for path in (tmp_path / "tls").iterdir()}, "issuer": {"jwks.json"}}


def named() -> set[str]:
    """Every file that Envoy is told to read."""
    folders = {each["path"] for each in watched()}
    paths = {text for text in texts([ENVOY, *SECRETS.values()]) if text.startswith("/etc/")}
    return {*(paths - folders), SERVICES["envoy"]["command"][2]}


def watched() -> Iterator[dict[str, str]]:
    for secret in SECRETS.values():
        (resource,) = secret["resources"]
        yield (resource.get("tls_certificate") or resource["validation_context"])["watched_directory"]


def named_by_the_gateway(base: str) -> set[str]:
    paths = {text for text in texts(GATEWAY) if re.fullmatch(r"[a-z]+/[a-z.]+\.(?:pem|key|json)", text)}
    return {f"{base}/{path}" for path in paths} | {f"{base}/gateway.yaml"}


def mounted(service: str, world: Mapping[str, set[str]]) -> set[str]:
    """Every file that a container of docker-compose.yaml sees in a volume."""
    found = set()
    for volume in SERVICES[service]["volumes"]:
        source, target, *options = volume.split(":")
        assert options == ["ro"], volume
        here = FOLDER / source
        names = world[source] if source in world else {path.name for path in here.glob("*")}
        found |= {target} if source.startswith("./") and here.is_file() else {f"{target}/{name}" for name in names}
    return found


def test_compose_mounts_what_each_proxy_reads_and_nothing_else(world: dict[str, set[str]]) -> None:
    assert mounted("envoy", world) == named()
    assert mounted("gateway", world) == named_by_the_gateway("/etc/grpcweb-gateway")
    command = re.search(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert command is not None
    assert '"/etc/grpcweb-gateway/gateway.yaml"' in command[1]


def test_the_backend_writes_into_what_is_mounted() -> None:
    dockerfile = SERVICES["backend"]["build"]["dockerfile_inline"]
    volumes = dict(each.split(":") for each in SERVICES["backend"]["volumes"])
    assert '"--folder", "/world"' in dockerfile
    assert volumes == {"tls": "/world/tls", "issuer": "/world/issuer"}
    assert COMPOSE["volumes"].keys() == volumes.keys()
    assert f"mkdir -p {' '.join(volumes.values())}" in dockerfile


def test_kubernetes_mounts_what_envoy_reads(world: dict[str, set[str]]) -> None:
    generated = {
        each["name"]: [Path(file).name for file in each["files"]] for each in KUSTOMIZATION["configMapGenerator"]
    }
    contents: dict[str, list[str]] = {}
    for volume in POD["volumes"]:
        if "projected" in volume:
            items = [item for source in volume["projected"]["sources"] for item in source["secret"]["items"]]
            contents[volume["name"]] = [item["path"] for item in items]
        else:
            name = volume["configMap"]["name"]
            contents[volume["name"]] = generated.get(name) or sorted(world[name.rpartition("-")[2]])
    found = set()
    for mount in CONTAINER["volumeMounts"]:
        assert mount["readOnly"]
        if "subPath" in mount:
            assert mount["subPath"] in contents[mount["name"]]
            found.add(mount["mountPath"])
        else:
            found |= {f"{mount['mountPath']}/{name}" for name in contents[mount["name"]]}
    assert found == named()


def test_kustomize_has_every_rendered_file() -> None:
    files = {file for each in KUSTOMIZATION["configMapGenerator"] for file in each["files"]}
    assert files == {"envoy.yaml", *(f"envoy-secrets/{name}" for name in SECRETS)}
    assert KUSTOMIZATION["resources"] == ["kubernetes.yaml"]


def test_what_is_watched_is_a_whole_folder() -> None:
    """A single file that is mounted, by subPath or by Compose, is never renewed; nor are folders above a volume."""
    whole = {mount["mountPath"] for mount in CONTAINER["volumeMounts"] if "subPath" not in mount}
    folders = {each["path"] for each in watched()}
    assert folders
    assert folders <= whole
    assert folders <= {volume.split(":")[1] for volume in SERVICES["envoy"]["volumes"]}


def test_secrets_come_from_where_cert_manager_puts_them() -> None:
    issued = {each["spec"]["secretName"]: each["spec"] for each in OBJECTS if each["kind"] == "Certificate"}
    (tls,) = [volume["projected"] for volume in POD["volumes"] if "projected" in volume]
    used = {source["secret"]["name"]: source["secret"]["items"] for source in tls["sources"]}
    assert used.keys() == issued.keys()
    keys = {name: {item["path"]: item["key"] for item in items} for name, items in used.items()}
    assert keys["grpc-web-server"] == {"server.pem": "tls.crt", "server.key": "tls.key"}
    assert keys["grpc-web-client"] == {"gateway.pem": "tls.crt", "gateway.key": "tls.key", "ca.pem": "ca.crt"}
    assert "server auth" in issued["grpc-web-server"]["usages"]
    assert "client auth" in issued["grpc-web-client"]["usages"]
    assert tls["defaultMode"] == 0o440
    assert POD["securityContext"]["fsGroup"] == POD["securityContext"]["runAsGroup"]


# -- ports -------------------------------------------------------------------------------------------------------------


def address(node: Any) -> tuple[str, int]:
    socket = node["address"]["socket_address"]
    return socket["address"], socket["port_value"]


LISTENERS = {each["name"]: address(each) for each in ENVOY["static_resources"]["listeners"]}
HTTPS, OPERATOR = LISTENERS["listener_0"][1], LISTENERS["operator"][1]
ADMIN = address(ENVOY["admin"])


def test_envoys_own_pages_are_for_its_container_alone() -> None:
    assert ADMIN[0] == "127.0.0.1"
    published = {port["containerPort"] for port in CONTAINER["ports"]}
    assert published == {HTTPS, OPERATOR}
    assert ADMIN[1] not in published


@pytest.mark.parametrize("service", ["envoy", "gateway"])
def test_compose_publishes_the_listeners_on_this_machine(service: str) -> None:
    assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}" for port in (HTTPS, OPERATOR)]


def test_probes_ask_the_operators_listener() -> None:
    names = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert names == {"https": HTTPS, "operator": OPERATOR}
    pages = {probe: CONTAINER[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {page["port"] for page in pages.values()} == {"operator"}
    assert [page["path"] for page in pages.values()] == ["/readyz", "/readyz", "/healthz"]
    annotations = the("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(OPERATOR)
    assert f"/127.0.0.1/{OPERATOR} " in SERVICES["envoy"]["healthcheck"]["test"][-1]


def test_the_service_leads_to_the_listener() -> None:
    (port,) = the("Service")["spec"]["ports"]
    assert port["targetPort"] == "https"
    assert the("Service")["spec"]["selector"] == the("Deployment")["spec"]["selector"]["matchLabels"]
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        spec = the(kind)["spec"]
        assert (spec.get("selector") or spec["podSelector"])["matchLabels"] == the("Service")["spec"]["selector"]


def test_only_browsers_and_monitoring_get_in_and_only_backend_and_dns_are_reached() -> None:
    policy = the("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    https, operator = policy["ingress"]
    assert https == {"ports": [{"port": HTTPS}]}
    assert operator["ports"] == [{"port": OPERATOR}]
    (monitoring,) = operator["from"]
    assert monitoring["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    dns, backend = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    (target,) = GATEWAY["upstreams"]["demo"]["targets"]
    assert target == f"dns:///backend:{backend['ports'][0]['port']}"
    assert all(each["to"] for each in policy["egress"])


def test_there_is_time_to_drain() -> None:
    script = CONTAINER["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert f"/127.0.0.1/{ADMIN[1]} " in script
    slept = re.search(r"sleep (\d+)$", script)
    assert slept is not None
    drain = parse_duration(GATEWAY["drain"])
    assert drain is not None
    assert int(slept[1]) == drain + 5
    assert POD["terminationGracePeriodSeconds"] >= int(slept[1]) + 5
    assert parse_duration(SERVICES["gateway"]["stop_grace_period"]) > drain
