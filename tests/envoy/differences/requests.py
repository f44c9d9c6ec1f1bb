"""What the backend sees of a call that both let through."""

from tests.envoy.differences.row import At, Right, Row, both_reach

GATEWAY, BOTH = Right.GATEWAY, Right.BOTH

ROWS = (
    Row(
        what="The codec that the request names",
        gateway="is named to the backend: `application/grpc+proto`",
        envoy="is not: `application/grpc`",
        why="Without a codec it is `+proto`, the only one that Envoy's filter knows.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Content-Type",
        at=(
            At(
                "*",
                {"backend content-type": ("application/grpc+proto", "application/grpc")},
                when=both_reach,
                but=("calls/content type without codec", "text/without codec", "native/*"),
            ),
        ),
    ),
    Row(
        what="Native gRPC that names no `grpc-accept-encoding`, and no `te`",
        gateway="says `identity` and `trailers` to the backend",
        envoy="says nothing",
        why="The gateway takes trailers, whoever asks. Naming no encoding means `identity`.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Requests",
        at=(
            At(
                "native/*",
                {"backend grpc-accept-encoding": ("identity", "none")},
                when=both_reach,
                but=("native/the client takes gzip",),
            ),
            At("native/without te", {"backend te": ("trailers", "none")}),
        ),
    ),
    Row(
        what="Trailers of HTTP after a request over HTTP/2",
        gateway="stay here",
        envoy="are sent on, `authorization` and `forward_claims` included",
        why="Requests of gRPC have none, and what nobody has looked at is nothing for a backend.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Requests",
        at=(
            At("http2/trailers of HTTP", {"backend trailers": ("-", "x-late: 1")}),
            At("http2/trailers of HTTP that name a token", {"backend trailers": ("-", "authorization: *")}),
        ),
    ),
    Row(
        what="`-bin` metadata with padding, or several values in one",
        gateway="without padding, each value in a header of its own",
        envoy="as it came",
        why="Both forms must be understood; without padding is how they should be sent.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Custom-Metadata",
        at=(
            At("metadata/binary, padded", {"backend metadata": ("x-raw-bin: AP8;*", "x-raw-bin: AP8=;*")}),
            At("metadata/binary, repeated", {"backend metadata": ("x-raw-bin: AP8;*", "x-raw-bin: AP8=;*")}),
            At(
                "metadata/binary, a list",
                {"backend metadata": ("x-raw-bin: AQ; x-raw-bin: Ag; x-raw-bin: Aw;*", "x-raw-bin: AQ,Ag== , Aw;*")},
            ),
        ),
    ),
    Row(
        what="A claim with letters beyond ASCII (`forward_claims`)",
        gateway="percent-encoded, as in `grpc-message`",
        envoy="as UTF-8 in the header",
        why="Values of metadata are printable ASCII: many a gRPC server refuses the call otherwise.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Custom-Metadata",
        at=(
            At(
                "tokens/text beyond ASCII",
                {"backend metadata": ("x-user-id: Zo%C3%AB *", "x-user-id: Zo\\xc3\\xab *")},
            ),
        ),
    ),
    Row(
        what="A client that leaves, a deadline that passes, a request that turns out to be malformed in HTTP/2",
        gateway="RST_STREAM with CANCEL",
        envoy="RST_STREAM with INTERNAL_ERROR",
        why="CANCEL is how a client says that it cancels. The backend is told at once by both.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Errors",
        at=(
            At(
                (
                    "streams/the client leaves *",
                    "native/the client leaves *",
                    "deadlines/it passes *",
                    "native/a deadline that passes",
                    "frames/over the limit, announced",
                    "http2/a length that is too *",
                    "http2/trailers of HTTP with a pseudo-header",
                ),
                {"backend stream": ("reset CANCEL", "reset INTERNAL_ERROR")},
            ),
        ),
    ),
    Row(
        what="`grpc-timeout` above `limits.max_deadline`",
        gateway="is cut down to it",
        envoy="goes on as it came; Envoy ends the call in time",
        why="The backend works on for nobody when it does not notice that the call was ended.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Timeout",
        at=(At("deadlines/longer than the longest that is allowed", {"backend deadline": ("60 s", "7200 s")}),),
    ),
    Row(
        what="`Expect` with something unknown",
        gateway="stays here",
        envoy="is sent on",
        why="417 would be allowed, too.",
        right=BOTH,
        source="RFC 9110, section 10.1.1",
        at=(At("malformed/expect something else", {"backend metadata": ("x-user-id: alice", "expect: 200-ok; *")}),),
    ),
    Row(
        what="`x-user-agent` and the browser's `User-Agent`, which becomes one, too",
        gateway="the browser's first",
        envoy="the browser's last",
        why="Which of the two names what is not said.",
        right=BOTH,
        source="PROTOCOL-WEB, User Agent",
        at=(
            At(
                "metadata/x-user-agent",
                {"backend x-user-agent": ("x-user-agent: Browser/1.0; *", "*; x-user-agent: Browser/1.0")},
            ),
        ),
    ),
    Row(
        what="`Expect: 100-continue`, and the body is here already",
        gateway="no 100",
        envoy="100",
        why="It may be left out then.",
        right=BOTH,
        source="RFC 9110, section 10.1.1",
        at=(At("calls/expect: 100-continue, not waited for", {"100 Continue": ("-", "said")}),),
    ),
    Row(
        what="An offer to upgrade to HTTP/2 in the clear (`h2c`)",
        gateway="is ignored, and the connection closed after the answer",
        envoy="is ignored",
        why="What follows on the connection might be meant for the other protocol.",
        right=BOTH,
        source="RFC 9110, section 7.8",
        at=(At("metadata/an upgrade to HTTP/2", {"connection": ("closed", "kept")}),),
    ),
)
