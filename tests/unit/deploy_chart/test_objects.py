"""What is rendered is what Kubernetes and the operators take, and Helm has nothing to say of it."""

import re
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.unit.deploy_chart.chart import CHART, EXAMPLES, Object, Release, helm, merged, values

VERSIONS = ("1.30", "1.37")  # the oldest that the chart takes, and the newest whose schemas there are
CUSTOM_RESOURCES = yaml.safe_load((Path(__file__).with_name("custom_resources.yaml")).read_text())


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
