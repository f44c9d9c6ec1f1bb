"""`listeners` -> listeners: TLS towards browsers, and the filters that every request passes, in their order."""

from collections.abc import Iterator

from gateway.envoy import authorization, cors, headers, tokens
from gateway.envoy.access_log import access_log, upstream_log
from gateway.envoy.admin import HCM, numeric
from gateway.envoy.files import TLS, Files
from gateway.envoy.node import Node, Said, extension, said, seconds
from gateway.envoy.replies import local_replies
from gateway.envoy.routes import call_headers, route_configuration
from gateway.envoy.tokens import Uris
from gateway.envoy.tracing import tracing
from gateway.front.age import JITTER
from gateway.front.connection import HEAD_TIMEOUT, MAX_HEAD
from gateway.front.http2 import CONNECTION_WINDOW
from gateway.http2 import MAX_STREAMS, STREAM_WINDOW
from gateway.settings import Listener, ListenerTls, Settings

AGE = "limits.max_connection_age"
VERSIONS = {"TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}


def listener_name(index: int) -> str:
    return f"listener_{index}"


def listeners(settings: Settings, files: Files, uris: Uris) -> Iterator[Said]:
    for index, listener in enumerate(settings.listeners):
        yield said(_listener(index, listener, settings, files, uris), f"listeners[{index}]")


def _listener(index: int, listener: Listener, settings: Settings, files: Files, uris: Uris) -> Node:
    key = f"listeners[{index}]"
    chain: Node = {"filters": [_connection_manager(index, listener, settings, files, uris)]}
    if listener.tls is not None:
        context = _tls(index, listener, listener.tls, files)
        chain["transport_socket"] = said(
            extension("envoy.transport_sockets.tls", f"{TLS}DownstreamTlsContext", **context), f"{key}.tls"
        )
        chain["transport_socket_connect_timeout"] = seconds(5.0)
    address = {"address": numeric(listener.bind.host), "port_value": listener.bind.port}
    return {
        "name": listener_name(index),
        "address": said({"socket_address": address}, f"{key}.bind"),
        # The threads of several workers each accept for themselves; without them a second process gets an error.
        "enable_reuse_port": said(settings.workers > 1, "workers"),
        "filter_chains": [chain],
    }


def _tls(index: int, listener: Listener, tls: ListenerTls, files: Files) -> Node:
    key = f"listeners[{index}]"
    secret = f"listener.{index}"  # with a dot, which no upstream's name has: their secrets lie in the same folder
    identity = files.identity(secret, tls.certificate, tls.private_key)
    common: Node = {
        "tls_params": {
            "tls_minimum_protocol_version": said(VERSIONS[tls.minimum_version], f"{key}.tls.minimum_version")
        },
        "alpn_protocols": said(["h2", "http/1.1"] if listener.http2 else ["http/1.1"], f"{key}.http2"),
        **{field: said(value, f"{key}.tls.certificate", f"{key}.tls.private_key") for field, value in identity.items()},
    }
    if tls.client_ca is not None:
        trust = files.trust(secret, tls.client_ca)
        common |= {field: said(value, f"{key}.tls.client_ca") for field, value in trust.items()}
    required = said(tls.client_auth == "required", f"{key}.tls.client_auth")
    return {"common_tls_context": common, "require_client_certificate": required}


def _connection_manager(index: int, listener: Listener, settings: Settings, files: Files, uris: Uris) -> Node:
    key, limits = f"listeners[{index}]", settings.limits
    return extension(
        "envoy.filters.network.http_connection_manager",
        HCM,
        stat_prefix=listener_name(index),
        codec_type=said("AUTO" if listener.http2 else "HTTP1", f"{key}.http2"),
        http_protocol_options={"allow_absolute_url": False},
        http2_protocol_options={
            "max_concurrent_streams": MAX_STREAMS,
            "initial_stream_window_size": STREAM_WINDOW,
            "initial_connection_window_size": CONNECTION_WINDOW,
        },
        common_http_protocol_options={
            "idle_timeout": seconds(HEAD_TIMEOUT),
            "headers_with_underscores_action": said("REJECT_REQUEST", why="x_user_id would pass for x-user-id"),
            **_duration(limits.max_connection_age),
        },
        **_last_answer(limits.max_connection_age),
        request_headers_timeout=seconds(HEAD_TIMEOUT),
        max_request_headers_kb=said(
            MAX_HEAD // 1024, "limits.max_metadata", why="all headers count, not metadata alone"
        ),
        stream_idle_timeout=said(seconds(limits.stream_idle), "limits.stream_idle", why="Envoy's own is 5 min"),
        stream_flush_timeout=said(seconds(limits.body_stall), "limits.body_stall", why="of readers only"),
        drain_timeout=said(seconds(settings.drain), "drain"),
        normalize_path=said(False, why="a path is compared byte for byte"),
        merge_slashes=False,
        path_with_escaped_slashes_action="KEEP_UNCHANGED",
        use_remote_address=said(True, why="the peer is who connects, not who a header says"),
        early_header_mutation_extensions=[headers.early_mutation(settings)],
        generate_request_id=False,
        server_header_transformation="PASS_THROUGH",
        access_log=said(access_log(settings), "observability.log"),
        **tracing(settings),
        http_filters=_filters(settings, files, uris),
        route_config=route_configuration(settings),
        local_reply_config=local_replies(call_headers(translated=True), cors.origin_headers(settings.cors)),
    )


def _duration(age: float | None) -> Node:
    """Envoy's jitter only adds."""
    if age is None:
        return {}
    least = said(seconds(age * (1 - JITTER)), AGE, why=f"{JITTER * 100:g} % less, to which up to twice that is added")
    return {
        "max_connection_duration": least,
        "max_connection_duration_jitter": {"value": round(200 * JITTER / (1 - JITTER))},
    }


def _last_answer(age: float | None) -> Node:
    if age is None:
        return {}
    safe = said(True, AGE, why="over HTTP/1.1 an answer says that it is the last, so no request is lost")
    return {"http1_safe_max_connection_duration": safe}


def _filters(settings: Settings, files: Files, uris: Uris) -> list[Said]:
    """In the order in which a request passes; an answer passes the other way round."""
    jwt = tokens.jwt_filter(settings, files, uris)
    return [
        said(headers.vary_filter(), why="no cache mixes up two origins"),
        said(cors.cors_filter(), "cors"),
        said(
            extension("envoy.filters.http.grpc_web", "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"),
            why="before the gate, so that its refusals are gRPC answers, which the page can read",
        ),
        *([said(jwt, "auth")] if jwt is not None else []),
        said(authorization.rbac_filter(settings), "authorization"),
        said(headers.last_mutation(settings), why="what is the browser's own stays here"),
        said(
            extension(
                "envoy.filters.http.router",
                "envoy.extensions.filters.http.router.v3.Router",
                suppress_envoy_headers=True,
                upstream_log=said(upstream_log(settings), "observability.log"),
            ),
            "upstreams",
        ),
    ]
