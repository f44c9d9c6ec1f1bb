"""What the backend sees of a call that both let through."""

from tests.envoy.differences.row import At, Right, Row, both_reach

GATEWAY, BOTH = Right.GATEWAY, Right.BOTH
TAKES_GZIP = ("frames/the client takes gzip", "frames/the backend compresses")

ROWS = (
    Row(
        what="`grpc-accept-encoding`",
        gateway="`identity, deflate, gzip`: grpc-core opens what the backend compresses, browsers get it plain",
        envoy="what the client says, or `identity`",
        why="The backend may compress for the gateway, and has to leave it for Envoy.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Message-Accept-Encoding",
        at=(
            At(
                "*",
                {"backend grpc-accept-encoding": ("identity, deflate, gzip", "identity")},
                when=both_reach,
                but=TAKES_GZIP,
            ),
            At(TAKES_GZIP, {"backend grpc-accept-encoding": ("identity, deflate, gzip", "gzip")}),
        ),
    ),
    Row(
        what="Messages that the client compressed",
        gateway="are opened, and sent on plain",
        envoy="are sent on as they are, with `grpc-encoding`",
        why="grpcio takes messages plain.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Message-Encoding",
        at=(
            At("frames/an encoding, and nothing compressed", {"backend grpc-*": ("-", "grpc-encoding: gzip")}),
            At(
                "frames/compressed",
                {
                    "backend grpc-*": ("-", "grpc-encoding: gzip"),
                    "backend messages": ("hello", "flag 1: *"),
                    "messages": ("hello", "flag 1: *"),  # the backend says them again
                },
            ),
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
        what="A client that leaves, a deadline that passes",
        gateway="RST_STREAM with CANCEL",
        envoy="RST_STREAM with INTERNAL_ERROR",
        why="CANCEL is how a client says that it cancels. The backend is told at once by both.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Errors",
        at=(
            At(
                ("streams/the client leaves *", "deadlines/it passes *"),
                {"backend stream": ("reset CANCEL", "reset INTERNAL_ERROR")},
            ),
            At("frames/over the limit, announced", {"backend stream": ("reset CANCEL", "reset INTERNAL_ERROR")}),
        ),
    ),
    Row(
        what="A message of which only a part has come",
        gateway="waits until it is whole: grpcio sends messages",
        envoy="is sent on as it comes",
        why="Bytes are a stream to HTTP/2.",
        right=BOTH,
        source="RFC 9113, section 6.1",
        at=(
            At(
                (
                    "streams/the client leaves in mid-body",
                    "deadlines/it passes during the body",
                    "frames/over the limit, announced",
                ),
                {"backend bytes of no frame": ("-", "*")},
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
