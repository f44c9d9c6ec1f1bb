"""What the page sees of a whole reply, its status apart."""

from tests.envoy.differences.row import At, Right, Row

GATEWAY, BOTH = Right.GATEWAY, Right.BOTH

ROWS = (
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
                ("cors/metadata is exposed", "metadata/reply: of every kind*", "native/metadata both ways"),
                {"metadata": ("*x-padded-bin: AP8;*", "*x-padded-bin: AP8=;*")},
            ),
        ),
    ),
    Row(
        what="`-bin` of a reply that is not base64",
        gateway="is left out",
        envoy="as it came",
        why="One header is no reason to lose a call, nor can a client make anything of it.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Custom-Metadata",
        at=(
            At(
                "metadata/reply: binary that is not base64",
                {"metadata": ("x-own: 1", "x-own: 1; x-raw-bin: !!")},
            ),
        ),
    ),
    Row(
        what="Messages that the backend compressed, and nobody asked for",
        gateway="arrive plain",
        envoy="arrive compressed, with `grpc-encoding`",
        why="The backend was told `identity`. Official clients of browsers open none.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Message-Accept-Encoding",
        at=(
            At(
                ("frames/the backend compresses, unasked", "native/the backend compresses, unasked"),
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
        what="The type of the reply",
        gateway="has the codec of the request, or none where that has none",
        envoy="has `+proto` without one, too; of native gRPC, what the backend says",
        why="Without a codec it is `+proto`. Clients that compare letter by letter want what they sent.",
        right=BOTH,
        source="PROTOCOL-WEB, Content-Type",
        at=(
            At(
                ("calls/content type without codec", "text/without codec"),
                {"content-type": ("application/grpc-web*", "{gateway}+proto")},
            ),
            At(
                ("native/a codec", "native/another codec"),
                {"content-type": ("application/grpc+*", "application/grpc")},
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
