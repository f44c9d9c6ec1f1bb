"""TLS towards browsers, and the filters in their order."""

from typing import Any

import pytest

from tests.unit.envoy.reading import FILES, ISSUER, LEAST, MUTUAL, Node, context, listener, manager, rendered

TLS = {"bind": "127.0.0.1:8443", "tls": FILES}


@pytest.mark.parametrize(
    ("bind", "host", "port"),
    [
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("0.0.0.0:8443", "0.0.0.0", 8443),
        ("[::]:8443", "::", 8443),
        ("[::1]:8080", "::1", 8080),
        ("localhost:8080", "127.0.0.1", 8080),
    ],
)
def test_addresses(bind: str, host: str, port: int) -> None:
    found = listener(rendered(listeners=[{"bind": bind, "tls": FILES}]))
    assert found["address"] == {"socket_address": {"address": host, "port_value": port}}


def test_listeners_are_numbered_in_the_order_of_the_file() -> None:
    config = rendered(listeners=[TLS, *LEAST["listeners"], MUTUAL | {"bind": "127.0.0.1:0"}])
    assert [each["name"] for each in config["static_resources"]["listeners"]] == [
        "listener_0",
        "listener_1",
        "listener_2",
    ]
    assert "transport_socket" in listener(config, 0)["filter_chains"][0]
    assert "transport_socket" not in listener(config, 1)["filter_chains"][0]


@pytest.mark.parametrize(("workers", "shared"), [(1, False), (2, True)])
def test_only_several_threads_share_a_port(workers: int, shared: bool) -> None:
    assert listener(rendered(workers=workers))["enable_reuse_port"] is shared


@pytest.mark.parametrize(
    ("tls", "minimum", "required", "trusts"),
    [
        ({}, "TLSv1_2", False, False),
        ({"minimum_version": "TLSv1.3"}, "TLSv1_3", False, False),
        ({"client_ca": "/dev/zero", "client_auth": "optional"}, "TLSv1_2", False, True),
        ({"client_ca": "/dev/zero", "client_auth": "required"}, "TLSv1_2", True, True),
    ],
)
def test_tls(tls: Node, minimum: str, required: bool, trusts: bool) -> None:
    found = context(listener(rendered(listeners=[{**TLS, "tls": {**FILES, **tls}}]))["filter_chains"][0])
    common = found["common_tls_context"]
    assert common["tls_params"]["tls_minimum_protocol_version"] == minimum
    assert found["require_client_certificate"] is required
    assert common["tls_certificates"]
    assert common.get("validation_context") == ({"trusted_ca": {"filename": "/dev/zero"}} if trusts else None)


@pytest.mark.parametrize(
    ("http2", "alpn", "codec"), [(True, ["h2", "http/1.1"], "AUTO"), (False, ["http/1.1"], "HTTP1")]
)
def test_http2(http2: bool, alpn: list[str], codec: str) -> None:
    config = rendered(listeners=[{**TLS, "http2": http2}])
    assert context(listener(config)["filter_chains"][0])["common_tls_context"]["alpn_protocols"] == alpn
    assert manager(config)["codec_type"] == codec


def test_http2_is_spoken_unless_it_is_switched_off_and_with_the_limits_of_the_gateway() -> None:
    assert manager(rendered())["codec_type"] == "AUTO"
    assert manager(rendered())["http2_protocol_options"] == {
        "max_concurrent_streams": 128,
        "initial_stream_window_size": 1024 * 1024,
        "initial_connection_window_size": 16 * 1024 * 1024,
    }


def names(**sections: Any) -> list[str]:
    return [each["name"].rpartition(".")[2] for each in manager(rendered(**sections))["http_filters"]]


def test_the_gate_comes_after_what_makes_its_refusals_readable_and_before_the_backend() -> None:
    assert names(auth={"issuers": [ISSUER]}) == [
        "header_mutation",
        "cors",
        "grpc_web",
        "jwt_authn",
        "rbac",
        "header_mutation",
        "router",
    ]
    assert names() == ["header_mutation", "cors", "grpc_web", "rbac", "header_mutation", "router"]


def test_paths_are_compared_as_they_came_and_peers_are_who_connects() -> None:
    found = manager(rendered())
    assert found["normalize_path"] is False
    assert found["merge_slashes"] is False
    assert found["path_with_escaped_slashes_action"] == "KEEP_UNCHANGED"
    assert found["use_remote_address"] is True
    assert found["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert found["server_header_transformation"] == "PASS_THROUGH"


@pytest.mark.parametrize(
    ("limits", "idle", "stall"),
    [({}, "0s", "30s"), ({"stream_idle": "90s", "body_stall": "1500ms"}, "90s", "1.5s")],
)
def test_a_stream_may_be_idle_for_as_long_as_the_limits_say(limits: Node, idle: str, stall: str) -> None:
    found = manager(rendered(limits=limits, drain="7s"))
    assert found["stream_idle_timeout"] == idle  # Envoy's own is 5 min
    assert found["stream_flush_timeout"] == stall
    assert found["drain_timeout"] == "7s"
    assert "request_timeout" not in found


def test_a_connection_may_be_as_old_as_the_limits_say() -> None:
    """From a tenth less to a tenth more: Envoy's jitter only adds."""
    found = manager(rendered(limits={"max_connection_age": "30m"}))
    least = float(found["common_http_protocol_options"]["max_connection_duration"].removesuffix("s"))
    added = found["common_http_protocol_options"]["max_connection_duration_jitter"]["value"]
    assert least == 1620
    assert least * (1 + added / 100) == pytest.approx(1980, rel=0.01)
    assert found["http1_safe_max_connection_duration"] is True


def test_no_connection_is_too_old_for_who_says_nothing_of_it() -> None:
    found = manager(rendered())
    assert not [name for name in found["common_http_protocol_options"] if name.startswith("max_connection_duration")]
    assert "http1_safe_max_connection_duration" not in found
