"""Values that would not do are refused, and what is left out is left out."""

import re

import pytest

from tests.unit.deploy_chart.chart import ChartError, Object, helm, objects, values


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
