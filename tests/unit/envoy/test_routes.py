"""Which requests go to a backend, and to which; what the rest are answered."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from gateway.envoy.node import plain
from gateway.envoy.routes import NOBODY, route_configuration
from gateway.settings import Settings
from gateway.upstream.base import Upstreams
from tests.unit.envoy.model import route_of, upstream_of
from tests.unit.envoy.reading import ISSUER, LEAST, MUTUAL, Node, rendered, settings

ORIGIN = "https://app.example.com"
SHOP: Node = LEAST["upstreams"]["shop"]
SERVICES = [
    "a.B",
    "a.B.C",
    "a",
    "a.b.*",
    "a.*",
    "a.b.c.*",
    "*",
    "grpc.health.v1.Health",
    "grpc.*",
    "aXB",
    "a-B",
    "a.B~",
]
NAMES = ["a.B", "a.B.C", "a", "a.b.D", "a.b.c.D", "aXB", "b", "grpc.health.v1.Health", "grpc.x", "a-B", "a.B~", "a.b"]


def upstreams(services: dict[str, list[str]], **changes: Any) -> Node:
    return {"upstreams": {name: SHOP | changes | {"services": listed} for name, listed in services.items()}}


def routed(made: Settings) -> Node:
    """With just so much around the routes as the model looks at."""
    manager = {"typed_config": {"route_config": plain(route_configuration(made))}}
    return {"static_resources": {"listeners": [{"filter_chains": [{"filters": [manager]}]}]}}


class Named:
    """An upstream with a name and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name


@profile(deadline=None, max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["one", "two", "three"]), st.sets(st.sampled_from(SERVICES), min_size=1), min_size=1
    ),
    st.sampled_from(NAMES),
    st.booleans(),
)
def test_the_most_particular_service_has_the_call(services: dict[str, set[str]], name: str, special: bool) -> None:
    owners = {service: upstream for upstream, listed in services.items() for service in listed}
    listed = {upstream: [service for service in owners if owners[service] == upstream] for upstream in services}
    sections = upstreams({upstream: names for upstream, names in listed.items() if names})
    path = f"/{name}/Method"
    by_name = {upstream: Named(upstream) for upstream in sections["upstreams"]}
    expected = Upstreams(by_name, owners)._look_up(path.encode())  # type: ignore[arg-type]
    if special and expected is not None:
        sections["auth"] = {"public_methods": [path]}
        sections["upstreams"][expected.name]["idempotent_methods"] = [path]
    found = upstream_of(routed(settings(**sections)), path)
    assert found == (expected.name if expected else None)


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        ("/shop.v1.Orders/Get", "shop"),
        ("/shop.v1.Orders/Get.Deep", "shop"),
        ("/shop.v1.Orders/get~all-1", "shop"),
        ("/grpc.health.v1.Health/Check", "shop"),
        ("/grpc.health.v1.Health/Watch", "shop"),
        ("/shop.v1.Orders/", None),
        ("/shop.v1.Orders", None),
        ("/shop.v1.Orders/Get/", None),
        ("/shop.v1.Orders/Get/More", None),
        ("/shop.v1.Orders//Get", None),
        ("//shop.v1.Orders/Get", None),
        ("/shop.v1.Orders/../Get", None),
        ("/shop.v1.Orders/.", None),
        ("/./shop.v1.Orders/Get", None),
        ("/shop.v1.Orders/Get%2fMore", None),
        ("/shop%2ev1.Orders/Get", None),
        ("/shop.v1.orders/Get", None),
        ("/shopXv1XOrders/Get", None),
        ("/shop.v1.Orders2/Get", None),
        ("/xshop.v1.Orders/Get", None),
        ("/shop.v1.Orders/Get?x=1", None),
        ("/shop.v1.Orders/Get?", None),
        ("/shop.v1.Orders/Get;x", None),
        ("/shop.v1.Orders/Get\n", None),
        ("/", None),
        ("*", None),
    ],
)
def test_paths(path: str, upstream: str | None) -> None:
    config = routed(settings())
    if path == "*":
        with pytest.raises(StopIteration):
            route_of(config, path)  # no route: Envoy answers 404
    else:
        assert upstream_of(config, path) == upstream


@pytest.mark.parametrize(
    ("headers", "goes"),
    [
        ({}, True),
        ({"content_type": "application/grpc-web"}, True),
        ({"content_type": "application/grpc-web-text"}, True),
        ({"content_type": "application/grpc-web-text+proto"}, True),
        ({"content_type": "application/grpc"}, False),
        ({"content_type": "application/grpc-web-texts"}, False),
        ({"content_type": "application/json"}, False),
        ({"content_type": ""}, False),
        ({"content_encoding": "identity"}, True),
        ({"content_encoding": ""}, True),
        ({"content_encoding": "gzip"}, False),
        ({"content_encoding": "identity, gzip"}, False),
        ({"host": "gateway.test:8443"}, True),
        ({"host": "[::1]:8443"}, True),
        ({"host": "a.test,b.test"}, False),
        ({"host": "a@b.test"}, False),
        ({"host": ""}, False),
        ({"grpc_timeout": "1S"}, True),
        ({"grpc_timeout": "99999999n"}, True),
        ({"grpc_timeout": "123456789m"}, True),
        ({"grpc_timeout": "123456789S"}, False),
        ({"grpc_timeout": "5s"}, False),
        ({"grpc_timeout": ""}, False),
        ({"grpc_timeout": "-5S"}, False),
        ({"grpc_timeout": "5S, 6S"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": ""}, False),
        ({"origin": "null"}, False),
        ({"origin": ORIGIN}, True),
    ],
)
def test_headers(headers: dict[str, str], goes: bool) -> None:
    config = routed(settings(cors={"allow_origins": [ORIGIN]}))
    assert (upstream_of(config, "/shop.v1.Orders/Get", **headers) == "shop") == goes


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD", "DELETE", "PATCH", "post", "CONNECT"])
def test_nothing_but_a_post_reaches_a_backend(method: str) -> None:
    config = routed(settings(cors={"allow_origins": [ORIGIN]}, auth={"public_methods": ["/shop.v1.Orders/Get"]}))
    for headers in ({}, {"origin": ORIGIN}, {"origin": ORIGIN, "access_control_request_method": "POST"}):
        assert upstream_of(config, "/shop.v1.Orders/Get", method, **headers) is None


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/shop.v1.Orders/Get", "POST", {"origin": "https://evil.example"}, 403),
        (
            "/shop.v1.Orders/Get",
            "OPTIONS",
            {"origin": "https://evil.example", "access_control_request_method": "POST"},
            403,
        ),
        ("/anything", "GET", {"origin": "https://evil.example"}, 403),
        ("/shop.v1.Orders/Get", "POST", {"host": "a,b"}, 400),
        ("/shop.v1.Orders/Get?x", "POST", {}, 400),
        ("/shop.v1.Orders/Get", "GET", {}, 405),
        ("/shop.v1.Orders/Get", "OPTIONS", {"origin": ORIGIN}, 405),
        ("/shop.v1.Orders/Get", "POST", {"content_type": "application/json"}, 415),
        ("/shop.v1.Orders/Get", "POST", {"content_encoding": "gzip"}, 415),
        ("/shop.v1.Orders/Get", "POST", {"grpc_timeout": "5s"}, 422),
        ("/favicon.ico", "GET", {}, 404),
        ("/", "POST", {}, 404),
    ],
)
def test_what_the_rest_are_answered(path: str, method: str, headers: dict[str, str], status: int) -> None:
    route = route_of(routed(settings(cors={"allow_origins": [ORIGIN]})), path, method, **headers)
    assert route["direct_response"]["status"] == status
    opened = route["typed_per_filter_config"]["envoy.filters.http.rbac"]
    assert opened == {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"}
    names = {each["header"]["key"] for each in route["response_headers_to_add"]}
    assert ("access-control-allow-origin" in names) == (status != 403)


def test_a_call_without_an_origin_where_one_is_required() -> None:
    config = routed(settings(cors={"allow_origins": [ORIGIN], "require_origin": True}))
    assert route_of(config, "/shop.v1.Orders/Get")["direct_response"]["status"] == 403
    assert upstream_of(config, "/shop.v1.Orders/Get", origin=ORIGIN) == "shop"


def test_without_any_origin_every_page_is_foreign() -> None:
    config = routed(settings())
    for origin in (ORIGIN, "null", "", "a"):
        assert route_of(config, "/shop.v1.Orders/Get", origin=origin)["direct_response"]["status"] == 403
    assert upstream_of(config, "/shop.v1.Orders/Get") == "shop"


def test_a_preflight_of_an_allowed_origin_leads_to_nobody_and_the_filter_answers_it() -> None:
    config = routed(settings(cors={"allow_origins": [ORIGIN]}))
    asked = {"origin": ORIGIN, "access_control_request_method": "POST"}
    route = route_of(config, "/any/Path", "OPTIONS", **asked)
    assert route["route"] == {"cluster": NOBODY, "cluster_not_found_response_code": "NOT_FOUND"}


# -- methods of their own ----------------------------------------------------------------------------------------------


def test_public_and_idempotent_methods() -> None:
    public, both, idempotent, plain_one = (f"/shop.v1.Orders/{name}" for name in ("Public", "Both", "Again", "Once"))
    sections = upstreams({"shop": ["shop.v1.Orders"]}, idempotent_methods=[both, idempotent])
    config = routed(settings(**sections, auth={"issuers": [ISSUER], "public_methods": [public, both]}))
    for path, without_token, again in [
        (public, True, False),
        (both, True, True),
        (idempotent, False, True),
        (plain_one, False, False),
        (f"{public}2", False, False),
    ]:
        route = route_of(config, path)
        assert route["route"]["cluster"] == "shop"
        assert (route.get("request_headers_to_remove") == ["authorization"]) == without_token, path
        assert ("retry_policy" in route["route"]) == again, path
    sections = upstreams({"shop": ["shop.v1.Orders"]}, idempotent_methods=["/shop.v1.Orders/*"])
    whole = routed(settings(**sections, auth={"issuers": [ISSUER], "public_methods": [public]}))
    assert all("retry_policy" in route_of(whole, path)["route"] for path in (public, plain_one))
    retry = route_of(config, idempotent)["route"]["retry_policy"]
    assert set(retry["retry_on"].split(",")) == {
        "connect-failure",
        "refused-stream",
        "reset-before-request",
        "unavailable",
    }


def test_a_public_method_of_no_upstream_goes_nowhere() -> None:
    config = routed(settings(**upstreams({"one": ["a.B"], "two": ["a.C"]})))
    assert upstream_of(config, "/grpc.health.v1.Health/Check") is None


def test_what_is_not_a_token_is_refused_where_a_certificate_may_stand_for_it() -> None:
    rules = {"rules": [{"methods": ["/shop.v1.Orders/*"], "identities": ["DNS:a.b"]}]}
    path = "/shop.v1.Orders/Get"
    for issuers, good in (([], False), ([ISSUER], True)):
        config = routed(settings(listeners=[MUTUAL], auth={"issuers": issuers}, authorization=rules))
        assert upstream_of(config, path) == "shop"
        for value, goes in [
            ("Bearer a.b.c", good),
            ("bearer a", good),
            ("Basic YQ==", False),
            ("", False),
            ("Bearer a, Bearer b", False),
        ]:
            answer = route_of(config, path, authorization=value)
            assert (answer.get("direct_response", {}).get("status") == 401) != goes, value
    # Elsewhere jwt_authn judges it.
    assert upstream_of(routed(settings(auth={"issuers": [ISSUER]})), path, authorization="Basic YQ==") == "shop"


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "unasked", "longest"),
    [
        ({}, "0s", "0s"),
        ({"default_deadline": "10s"}, "10s", "0s"),
        ({"max_deadline": "1m"}, "60s", "60s"),
        ({"default_deadline": "1500ms", "max_deadline": "1m"}, "1.5s", "60s"),
    ],
)
def test_a_stream_has_no_time_out_but_its_deadline(limits: dict[str, str], unasked: str, longest: str) -> None:
    config = rendered(limits=limits)
    streams = [route for route in _to_backends(config) if route["cluster"] != NOBODY]
    assert len(streams) == 3
    for route in streams:
        assert route["timeout"] == "0s"  # Envoy's own is 15 s
        assert "idle_timeout" not in route
        assert route["max_stream_duration"] == {"max_stream_duration": unasked, "grpc_timeout_header_max": longest}


def _to_backends(config: Node) -> list[Node]:
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    [host] = manager["route_config"]["virtual_hosts"]
    return [route["route"] for route in host["routes"] if "route" in route]


@pytest.mark.parametrize(
    ("targets", "tls", "rewritten"),
    [
        (["shop.internal:1"], {}, "shop.internal"),
        (["shop.internal:1"], {"server_name": "other.internal"}, "other.internal"),
        (["a.internal:1", "b.internal:1"], {}, None),
        (["a.internal:1", "b.internal:1"], {"server_name": "x.internal"}, "x.internal"),
        (["unix:/run/a.sock"], {}, "localhost"),
    ],
)
def test_a_backend_is_called_by_the_name_that_its_certificate_has(
    targets: list[str], tls: Node, rewritten: str | None
) -> None:
    config = routed(settings(**upstreams({"shop": ["shop.v1.Orders"]}, targets=targets, tls=tls)))
    route = route_of(config, "/shop.v1.Orders/Get")["route"]
    assert route.get("host_rewrite_literal") == rewritten
    assert route.get("auto_host_rewrite", False) == (rewritten is None)
