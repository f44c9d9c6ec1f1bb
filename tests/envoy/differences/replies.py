"""What the page sees of a whole reply, its status apart."""

from tests.envoy.differences.row import At, Right, Row

GATEWAY, ENVOY, BOTH, NEITHER = Right.GATEWAY, Right.ENVOY, Right.BOTH, Right.NEITHER

ROWS = (
    Row(
        what="A backend that gives no content type",
        gateway="2, and what looks like a message",
        envoy="2, the body as grpc-message",
        why="What is not `application/grpc` is no gRPC, whatever it looks like.",
        right=ENVOY,
        source="PROTOCOL-HTTP2, Content-Type",
        at=(
            At(
                "answers/no content type",
                {
                    "grpc-status": ("2", "2 (in the headers)"),
                    "grpc-message": ("there", "there (in the headers)"),
                    "messages": ("hello", "-"),
                },
            ),
        ),
    ),
    Row(
        what="`-bin` of a reply, and `grpc-status-details-bin`, with padding",
        gateway="without",
        envoy="as it came",
        why="Both forms must be understood; without padding is how they should be sent.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Custom-Metadata",
        at=(
            At("statuses/PaddedDetails", {"grpc-status-details-bin": ("CAkSAW4", "CAkSAW4=")}),
            At(
                ("cors/metadata is exposed", "metadata/reply: of every kind*"),
                {"metadata": ("*x-padded-bin: AP8;*", "*x-padded-bin: AP8=;*")},
            ),
        ),
    ),
    Row(
        what="`-bin` of a reply that is not base64",
        gateway="13: grpcio breaks the call off",
        envoy="as it came",
        why="One header is no reason to lose a call, nor can a client make anything of it.",
        right=NEITHER,
        source="PROTOCOL-HTTP2, Custom-Metadata",
        at=(
            At(
                "metadata/reply: binary that is not base64",
                {
                    "grpc-status": ("13", "0"),
                    "grpc-message": ("there", "-"),
                    "messages": ("-", "hello"),
                    "metadata": ("-", "x-own: 1; x-raw-bin: !!"),
                },
            ),
        ),
    ),
    Row(
        what="Messages that the backend compressed",
        gateway="arrive plain",
        envoy="arrive compressed, with `grpc-encoding`",
        why="Official clients open none. The backend was told that only `identity` is taken.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Message-Accept-Encoding",
        at=(
            At(
                "frames/the backend compresses*",
                {"messages": ("hello", "flag 1: *"), "metadata": ("-", "grpc-encoding: gzip")},
            ),
        ),
    ),
    Row(
        what="`Via` of the backend",
        gateway="reaches the page",
        envoy="does not",
        why="It names what is inside. A proxy that is no gateway would have to keep it.",
        right=BOTH,
        source="RFC 9110, section 7.6.3",
        at=(At("metadata/reply: what names the backend", {"metadata": ("via: *", "x-own: 1")}),),
    ),
    Row(
        what="The type of the reply where the request has no codec",
        gateway="has none either",
        envoy="has `+proto`",
        why="Without a codec it is `+proto`. Clients that compare letter by letter want what they sent.",
        right=BOTH,
        source="PROTOCOL-WEB, Content-Type",
        at=(
            At(
                ("calls/content type without codec", "text/without codec"),
                {"content-type": ("application/grpc-web*", "{gateway}+proto")},
            ),
        ),
    ),
    Row(
        what="A request in text mode without `Accept`, or with `*/*`",
        gateway="is answered in text",
        envoy="is answered in binary",
        why="Accept decides; without one nothing is said. A client that writes text reads text.",
        right=BOTH,
        source="PROTOCOL-WEB, Text-encoded streams",
        at=(
            At(
                ("text/without accept", "text/accept asks for anything"),
                {"content-type": ("application/grpc-web-text+proto", "application/grpc-web+proto")},
            ),
        ),
    ),
)
