"""The Helm chart: rendered by Helm's own library, judged by Kubernetes' schemas, and its parts held against each other.

Rule: what is compared comes from two places (the rendered pod and the rendered configuration, the chart and the
Dockerfile), so that a change of one of them alone fails.
"""

import importlib.util
import ipaddress
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml

from gateway import check
from gateway.settings import Settings, load
from gateway.supervisor import LAST_WORDS
from tests.support import certificates

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "grpcweb-gateway"
MOUNT = "/etc/grpcweb-gateway"
EXAMPLES = ("shop", "everything")
VERSIONS = ("1.30", "1.37")  # the oldest that the chart takes, and the newest whose schemas there are

CUSTOM_RESOURCES = yaml.safe_load((Path(__file__).parent / "data" / "custom_resources.yaml").read_text())

# Helm is a library of Go: it gets a process of its own, for its runtime and its signal handlers stay in one.
HELM = """
import json, sys
import helm_python as helm
asked = json.load(sys.stdin)
if asked["lint"]:
    print(json.dumps(helm.lint(asked["chart"], asked["values"], strict=True)))
else:
    with helm.Chart.load(asked["chart"]) as chart:
        try:
            print(json.dumps(chart.render(asked["values"], name="gw", namespace="edge")))
        except helm.HelmError as error:
            sys.exit(str(error))
"""

Object = dict[str, Any]


@pytest.fixture(autouse=True)
def _helm() -> None:
    if importlib.util.find_spec("helm_python") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "helm-python-sdk has no wheel for this machine"
        )


def helm(values: Mapping[str, Any], *, lint: bool = False) -> Any:
    asked = json.dumps({"chart": str(CHART), "values": values, "lint": lint})
    command = [sys.executable, "-c", HELM]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise ChartError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


class ChartError(Exception):
    """What Helm says of values that it refuses."""


def values(example: str, **changes: Any) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{example}-values.yaml").read_text())
    return merged(read, changes)


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges values: maps key by key, all else replaced."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = merged(one[key], other[key])
    return both


def objects(given: Mapping[str, Any]) -> list[Object]:
    rendered = (text for name, text in helm(given).items() if name.endswith(".yaml"))
    return [one for text in rendered for one in yaml.safe_load_all(text) if one is not None]


@cache
def _example(name: str) -> list[Object]:
    return objects(values(name))


class Release:
    """What an example installs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects = _example(name)

    def all(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, suffix: str = "") -> Object:
        (found,) = (one for one in self.all(kind) if one["metadata"]["name"] == f"gw-grpcweb-gateway{suffix}")
        return found

    @property
    def pod(self) -> Object:
        """The pod that serves."""
        template: Object = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def container(self) -> Object:
        (container,) = self.pod["spec"]["containers"]
        return container  # type: ignore[no-any-return]

    @property
    def config(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load(self.one("ConfigMap")["data"]["gateway.yaml"])
        return read

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}


@pytest.fixture(params=EXAMPLES)
def release(request: pytest.FixtureRequest) -> Release:
    return Release(request.param)


# -- schemas -----------------------------------------------------------------------------------------------------------


def judge(one: Object, version: str) -> None:
    """Raises ValidationError for what Kubernetes would refuse, or pass over."""
    api = one["apiVersion"], one["kind"]
    if api[0] in ("cert-manager.io/v1", "monitoring.coreos.com/v1"):
        jsonschema.validate(one["spec"], CUSTOM_RESOURCES[api[1]])
    else:
        kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_what_its_schema_says(release: Release, version: str) -> None:
    for one in release.objects:
        judge(one, version)


def test_the_examples_have_every_kind_of_object() -> None:
    kinds = {one["kind"] for name in EXAMPLES for one in Release(name).objects}
    templates = "".join(path.read_text() for path in (CHART / "templates").glob("*.yaml"))
    assert kinds == set(re.findall(r"^kind: (\w+)", templates, re.MULTILINE))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("Deployment", {"spec": {"replica": 2}}),
        ("Service", {"spec": {"clusterIP": 3}}),
        ("Certificate", {"spec": {"dnsName": ["a"]}}),
        ("Certificate", {"spec": {"dnsNames": "a"}}),
        ("ServiceMonitor", {"spec": {"endpoint": []}}),
        ("PrometheusRule", {"spec": {"groups": [{"rules": []}]}}),
        ("HorizontalPodAutoscaler", {"spec": {"maxReplicas": "9"}}),
    ],
)
def test_the_schemas_find_what_is_wrong(kind: str, wrong: Object) -> None:
    one = next(one for name in EXAMPLES for one in Release(name).all(kind))
    with pytest.raises(jsonschema.ValidationError):
        judge(merged(one, wrong), VERSIONS[-1])


@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_has_nothing_to_say(example: str) -> None:
    said = helm(values(example), lint=True)
    assert said["errors"] == []
    assert [message for message in said["messages"] if "icon is recommended" not in message["error"]] == []


# -- image and program -------------------------------------------------------------------------------------------------


def test_the_chart_is_of_this_version_and_runs_what_the_image_has(release: Release) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == project["version"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert release.container["args"] == json.loads(re.findall(r"^CMD (.*)", dockerfile, re.MULTILINE)[-1])
    (user,) = re.findall(r"^USER (\d+):\1$", dockerfile, re.MULTILINE)
    account = release.pod["spec"]["securityContext"]
    assert {account["runAsUser"], account["runAsGroup"], account["fsGroup"]} == {int(user)}


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ({"repository": "r/g"}, "r/g:0.1.0"),
        ({"repository": "r/g", "tag": "7"}, "r/g:7"),
        ({"repository": "r/g", "tag": "7", "digest": f"sha256:{'a' * 64}"}, f"r/g@sha256:{'a' * 64}"),
    ],
)
def test_an_image_has_a_tag_or_a_digest(image: Object, name: str) -> None:
    rendered = {
        container["image"]
        for one in objects(values("shop", image=image))
        if one["kind"] in ("Deployment", "Pod")
        for container in one["spec"].get("template", one)["spec"]["containers"]
    }
    assert rendered == {name}


def test_nothing_has_rights(release: Release) -> None:
    assert release.one("ServiceAccount")["automountServiceAccountToken"] is False
    for pod in (release.pod, release.one("Pod", "-check")):
        spec = pod["spec"]
        assert spec["serviceAccountName"] == release.one("ServiceAccount")["metadata"]["name"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys()
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert container["resources"]["limits"].keys() == {"memory"}


# -- configuration -----------------------------------------------------------------------------------------------------


def mounted(release: Release, pod: Object, folder: Path) -> None:
    """Puts below `folder` what the pod finds at its mount, with certificates that are good."""
    (volume,) = pod["spec"]["volumes"]
    authority = certificates.authority()
    for source in volume["projected"]["sources"]:
        ((kind, wanted),) = source.items()
        if kind == "configMap" and wanted["name"] == release.one("ConfigMap")["metadata"]["name"]:
            content = {path: text.encode() for path, text in release.one("ConfigMap")["data"].items()}
        else:
            certificate, key = certificates.leaf(authority, "any.example")
            known = {"tls.crt": certificate, "tls.key": certificates.key_pem(key), "ca.crt": authority.pem}
            content = {item["path"]: known.get(item["key"], b"{}") for item in wanted["items"]}
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


# -- ports, probes, selectors ------------------------------------------------------------------------------------------


def port(bind: str) -> int:
    return int(bind.rpartition(":")[2])


def selects(selector: Mapping[str, str], one: Object) -> bool:
    return selector.items() <= one["metadata"]["labels"].items()


def test_ports_are_those_of_the_configuration(release: Release) -> None:
    config = release.config
    assert [*release.ports.values()] == [
        *(port(one["bind"]) for one in config["listeners"]),
        port(config["admin"]["bind"]),
    ]
    assert release.ports["calls"] == port(config["listeners"][0]["bind"])
    assert release.ports["admin"] == port(config["admin"]["bind"])
    assert all(ipaddress.ip_address(one["bind"].rpartition(":")[0]).is_unspecified for one in config["listeners"])


def test_services_lead_to_the_pods_that_serve_and_the_public_one_not_to_the_admin_pages(release: Release) -> None:
    public, admin = release.one("Service"), release.one("Service", "-admin")
    for service in (public, admin):
        assert selects(service["spec"]["selector"], release.pod)
        assert not selects(service["spec"]["selector"], release.one("Pod", "-check"))
    assert [one["targetPort"] for one in public["spec"]["ports"]] == ["calls"]
    assert [one["targetPort"] for one in admin["spec"]["ports"]] == ["admin"]
    assert admin["spec"]["clusterIP"] == "None"


def test_whatever_selects_pods_selects_those_of_the_deployment(release: Release) -> None:
    selectors = [release.one("Deployment")["spec"]["selector"], release.one("PodDisruptionBudget")["spec"]["selector"]]
    selectors += [one["labelSelector"] for one in release.pod["spec"]["topologySpreadConstraints"]]
    for selector in selectors:
        assert selects(selector["matchLabels"], release.pod)
        assert not selects(selector["matchLabels"], release.one("Pod", "-check"))
    policy = release.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selects(policy, release.pod)
    assert selects(policy, release.one("Pod", "-check"))


def test_probes_ask_the_admin_pages(release: Release) -> None:
    container = release.container
    assert (
        container["startupProbe"]["httpGet"]
        == container["livenessProbe"]["httpGet"]
        == {"path": "/healthz", "port": "admin"}
    )
    ready = container["readinessProbe"]
    if release.name == "shop":
        assert ready["httpGet"] == {"path": "/readyz", "port": "admin"}
    else:  # kubelet speaks gRPC over HTTP/2 without TLS
        (listener,) = (one for one in release.config["listeners"] if port(one["bind"]) == ready["grpc"]["port"])
        assert listener.get("http2", True)
        assert "tls" not in listener
        services = {service for one in release.config["upstreams"].values() for service in one["services"]}
        assert "grpc.health.v1.Health" in services


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def test_a_pod_has_the_time_to_leave(release: Release) -> None:
    spec, pause = release.pod["spec"], release.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 5
    drain = seconds(release.config["drain"])
    assert spec["terminationGracePeriodSeconds"] > pause + drain + LAST_WORDS


# -- availability ------------------------------------------------------------------------------------------------------


def test_a_replica_is_always_left(release: Release) -> None:
    deployment = release.one("Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert release.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    scalers = release.all("HorizontalPodAutoscaler")
    assert len(scalers) + ("replicas" in deployment) == 1  # both would fight about the number
    assert (scalers[0]["spec"]["minReplicas"] if scalers else deployment["replicas"]) >= 2


def test_the_autoscaler_is_quick_up_and_slow_down() -> None:
    spec = Release("shop").one("HorizontalPodAutoscaler")["spec"]
    target = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": Release("shop").one("Deployment")["metadata"]["name"],
    }
    assert spec["scaleTargetRef"] == target
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 300


def test_a_worker_asks_for_a_core(release: Release) -> None:
    """The autoscaler reckons in per cent of the request."""
    assert int(release.container["resources"]["requests"]["cpu"]) == release.config.get("workers", 1)


# -- network -----------------------------------------------------------------------------------------------------------


def opens(rules: list[Object]) -> set[tuple[int, str]]:
    """Ports and protocols that rules name."""
    return {
        (number, one.get("protocol", "TCP"))
        for rule in rules
        for one in rule["ports"]
        for number in range(one["port"], one.get("endPort", one["port"]) + 1)
    }


def called(config: Mapping[str, Any]) -> Iterator[int]:
    """The port of everything that a configuration has the gateway call."""
    for upstream in config["upstreams"].values():
        yield from map(port, upstream["targets"])
    auth, limits = config["auth"], config.get("limits", {})
    urls = [issuer["issuer"] for issuer in auth["issuers"]]
    urls += [auth["introspection"]["url"]] if "introspection" in auth else []
    for url in urls:
        yield urlsplit(url).port or 443
    if "rate_storage" in limits:
        yield urlsplit(limits["rate_storage"]).port or 6379


def test_the_network_is_closed_save_for_what_is_used(release: Release) -> None:
    spec = release.one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    calls, admin = spec["ingress"]
    assert opens([calls]) == {(release.ports["calls"], "TCP")}
    assert opens([admin]) == {(release.ports["admin"], "TCP")}
    assert admin["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert calls.get("from") == release_clients(release)
    assert opens(spec["egress"]) == {(one, "TCP") for one in called(release.config)} | {(53, "UDP"), (53, "TCP")}
    assert all(rule["to"] for rule in spec["egress"])


def release_clients(release: Release) -> list[Object] | None:
    clients: list[Object] | None = values(release.name)["networkPolicy"].get("clients")
    return clients


def test_egress_is_named_so_that_a_rule_can_be_replaced_or_removed() -> None:
    given = values("shop", networkPolicy={"egress": {"dns": None, "issuers": {"ports": [{"port": 8443}], "to": [{}]}}})
    (policy,) = (one for one in objects(given) if one["kind"] == "NetworkPolicy")
    assert opens(policy["spec"]["egress"]) == {(50051, "TCP"), (8443, "TCP")}


# -- monitoring --------------------------------------------------------------------------------------------------------


def test_prometheus_finds_the_admin_service_and_no_other() -> None:
    release = Release("everything")
    monitor = release.one("ServiceMonitor")["spec"]
    found = [one for one in release.all("Service") if selects(monitor["selector"]["matchLabels"], one)]
    assert found == [release.one("Service", "-admin")]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in [one["name"] for one in found[0]["spec"]["ports"]]
    assert release.one("ServiceMonitor")["metadata"]["labels"]["release"] == "prometheus"


def test_rules_and_dashboard_are_the_files_for_everybody() -> None:
    release = Release("everything")
    rules, dashboard = ROOT / "deploy/prometheus/rules.yaml", ROOT / "deploy/grafana/dashboard.json"
    assert release.one("PrometheusRule")["spec"] == yaml.safe_load(rules.read_text())
    config_map = release.one("ConfigMap", "-dashboard")
    assert json.loads(config_map["data"]["grpcweb-gateway.json"]) == json.loads(dashboard.read_text())
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"replica": 3}, "replica"),
        ({"tls": {"servr": {}}}, "servr"),
        ({"config": {"upstreams": None}}, "upstreams"),
        ({"config": {"drain": "15s"}}, "config.drain: say drainSeconds"),
        (
            {"config": {"admin": {"bind": "127.0.0.1:9901"}}},
            "config.admin.bind: 127.0.0.1:9901: probes come from outside",
        ),
        ({"config": {"admin": {"bind": "[::1]:9901"}}}, "config.admin.bind: [::1]:9901: probes come from outside"),
        ({"config": {"listeners": [{"bind": "0.0.0.0:0"}]}}, "bind"),
        ({"tls": {"server": {"dnsNames": []}}}, "tls.server: name a secret, or dnsNames and issuer.name"),
        ({"tls": {"client": {"issuer": {"name": ""}}}}, "tls.client: name a secret, or dnsNames and issuer.name"),
        ({"image": {"digest": "sha256:abc"}}, "digest"),
        ({"preStopSeconds": 0}, "preStopSeconds"),
    ],
)
def test_values_that_would_not_do_are_refused(changes: Object, said: str) -> None:
    with pytest.raises(ChartError, match=re.escape(said)):
        helm(values("shop", **changes))


def test_the_chart_alone_asks_for_what_only_you_know() -> None:
    with pytest.raises(ChartError, match="upstreams"):
        helm({})


def test_without_certificates_nothing_is_mounted_but_the_configuration() -> None:
    listener = {"bind": "0.0.0.0:8080", "allow_plaintext": True}
    rendered = objects(values("shop", tls={"server": None, "client": None}, config={"listeners": [listener]}))
    (deployment,) = (one for one in rendered if one["kind"] == "Deployment")
    (volume,) = deployment["spec"]["template"]["spec"]["volumes"]
    assert [*volume["projected"]["sources"]] == [{"configMap": {"name": "gw-grpcweb-gateway"}}]
    assert not [one for one in rendered if one["kind"] == "Certificate"]
