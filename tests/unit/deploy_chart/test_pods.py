"""What runs, with which rights, how it is asked how it is, and how it leaves: pods beside image and program."""

import json
import re
import tomllib

import pytest
import yaml

from gateway.supervisor import BEYOND_DRAIN
from tests.unit.deploy_chart.chart import CHART, ROOT, Object, Release, objects, port, values


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
    assert spec["terminationGracePeriodSeconds"] > pause + drain + BEYOND_DRAIN


# -- availability


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
