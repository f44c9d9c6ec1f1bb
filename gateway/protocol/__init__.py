"""The wire: gRPC-Web and gRPC as bytes, without sockets, tasks or settings.

Rule: pure functions and small decoders that are fed. What a peer can break raises `WireError` and nothing else; the
limits are arguments. Below this room there is only the standard library.

From the browser, in this order:
    content_type    is it a call, and which form do the two bodies have?
    metadata        which request headers the backend gets
    timeout         grpc-timeout as seconds, and back
    text            base64 body -> bytes
    frames          bytes -> checked frames, or whole messages where an end needs them
    compression     a compressed message -> its bytes, as far as the limit
To the browser:
    metadata        which reply headers the browser gets
    text            bytes -> base64, one flush at a time
    trailers        status and trailing metadata -> the last frame
Both ways:
    status          how a call ended; `WireError`
"""
