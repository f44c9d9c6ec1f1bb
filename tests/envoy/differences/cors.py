"""Preflights, and what pages may read (Fetch, sections 3.3 and 4.8)."""

from tests.envoy.differences.row import At, Right, Row, both_expose

GATEWAY, BOTH = Right.GATEWAY, Right.BOTH

ANSWERED = (
    "preflights/own origin*",
    "preflights/an origin of the pattern",
    "preflights/any origin",
    "preflights/a *",
    "preflights/no headers",
    "preflights/of *",
    "preflights/with a token",
    "preflights/for the private network",
)
NOT_ANSWERED = ("preflights/a foreign origin*", "preflights/of a foreign origin *", "preflights/a call *")
POLICY = {
    "access-control-allow-methods": ("post", "-"),
    "access-control-allow-headers": ("*", "-"),
    "access-control-max-age": ("600", "-"),
    "vary": ("access-control-request-headers, access-control-request-method, origin", "origin"),
}

ROWS = (
    Row(
        what="The answer to a preflight",
        gateway="204; `Vary` names what was asked, too",
        envoy="200; with `Access-Control-Expose-Headers`, which means nothing there",
        why="Any 2xx will do, and what browsers remember does not depend on `Vary`.",
        right=BOTH,
        source="Fetch, section 4.8",
        at=(
            At(
                ANSWERED,
                {
                    "http": ("204", "200"),
                    "vary": ("access-control-request-headers, access-control-request-method, origin", "origin"),
                    "access-control-expose-headers": ("-", "*"),
                },
                but=NOT_ANSWERED,
            ),
        ),
    ),
    Row(
        what="A preflight with an empty method, or for `*`",
        gateway="204, as for any other",
        envoy="401, 404",
        why="No browser sends them.",
        right=BOTH,
        source="Fetch, section 4.8",
        at=(
            At(
                "preflights/an empty method",
                {**POLICY, "http": ("204", "401"), "access-control-expose-headers": ("-", "*")},
            ),
            At(
                "preflights/asterisk",
                {**POLICY, "http": ("204", "404"), "access-control-allow-origin": ("http://page.test", "-")},
            ),
        ),
    ),
    Row(
        what="OPTIONS, or native gRPC, without an origin",
        gateway="without CORS headers",
        envoy="has `Access-Control-Expose-Headers` alone, where it refuses",
        why="It means nothing without an allowed origin.",
        right=BOTH,
        source="Fetch, section 3.3.3",
        at=(
            At(
                (
                    "preflights/without an origin",
                    "native/a deadline that is none",
                    "native/another type *",
                    "native/a parameter",
                    "native/by GET",
                    "native/no path of gRPC",
                    "native/where Envoy*",
                ),
                {"access-control-expose-headers": ("-", "*")},
            ),
        ),
    ),
    Row(
        what='`allow_origins: ["*"]`',
        gateway="says `*`",
        envoy="says the page's own origin",
        why="Without credentials both are the same.",
        right=BOTH,
        source="Fetch, section 3.3.3",
        at=(
            At(
                ("preflights/any origin", "cors/any origin", "calls/every origin is allowed"),
                {"access-control-allow-origin": ("*", "http*")},
            ),
        ),
    ),
    Row(
        what="The headers that a page may read",
        gateway="names what this answer has, and `cors.expose_headers`",
        envoy="names what is configured, the same on every answer",
        why="The list is part of Envoy's configuration.",
        right=BOTH,
        source="Fetch, section 3.3.3",
        at=(At("*", {"access-control-expose-headers": ("*", "*www-authenticate*")}, when=both_expose),),
    ),
    Row(
        what="Metadata of a reply whose names are not in `cors.expose_headers`",
        gateway="exposed: it is the backend's answer to this page",
        envoy="hidden",
        why="`grpcweb-gateway envoy` warns of it: list the names.",
        right=GATEWAY,
        source="gateway.yaml, `cors.expose_headers`",
        at=(
            At(
                (
                    "cors/metadata is exposed",
                    "cors/what the backend says of CORS does not pass",
                    "metadata/reply: of every kind*",
                    "metadata/reply: what names the backend",
                    "metadata/reply: alt-svc",
                    "metadata/reply: set-cookie",
                    "metadata/reply: beyond ASCII",
                    "metadata/reply: a tab",
                    "metadata/reply: 60 headers",
                    "metadata/reply: binary that is not base64",
                    "frames/the backend compresses",
                    "answers/compressed by *",
                    "endings/* after the head",
                ),
                {"the page may read": ("*", "-")},
            ),
        ),
    ),
)
