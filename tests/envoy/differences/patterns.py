"""Groups of refused cases, and what such answers have in common, for the rows that need them."""

from tests.envoy.differences.row import Fields

ORIGINS = ("origins/*", "cors/what the backend says of CORS does not pass to a foreign page")
TWO_ORIGINS = ("origins/twice the same", "origins/two, the * foreign")
WRONG_PATHS = (
    "cors/on 404",
    "roles/health, a slash at the end",
    "roles/public method, an encoded letter",
    "roles/closed, by a spelling of the path",
    "roles/closed, behind *",
    "roles/closed, with a parameter",
    "paths//*",
    "paths/beyond ASCII over HTTP/2",
)
QUERIES = ("tokens/in the query", "roles/*, with a query", "paths//*?*")
FRAGMENTS = ("roles/closed, with a fragment", "paths//*#*", "paths/http*")
WRONG_METHODS = ("cors/on 405", "methods/*")
NO_METHODS = ("methods/in lower case", "methods/unknown", "methods/CONNECT", "methods/POST, overridden to GET")
WRONG_TYPES = ("cors/on 415", "types/*")
AGAIN = ("* over HTTP/2",)  # the cases of HTTP/1.1 that are played over HTTP/2, too
TWO_TYPES = ("types/twice the same", "types/two that differ*")
NATIVE = (
    "types/application/grpc",
    "types/application/grpc+*",
    "types/application/grpc, *",
    "types/application/grpc with *",
)
ENCODED = ("types/content-encoding *",)
BAD_HOSTS = (
    "malformed/host empty",
    "malformed/host with user *",
    "malformed/host with a comma",
    "malformed/host with a port*",
)
UNDERSCORES = ("metadata/a name with an underscore", "metadata/a claim's header with an underscore")
OTHER_REASONS = (  # what a claim has to be is RBAC's question in Envoy
    "tokens/alg not allowed*",
    "tokens/HS256 with a secret of the key set",
    "tokens/typ of another kind",
    "tokens/typ missing",
    "tokens/typ no text",
    "tokens/aud another",
    "tokens/aud missing",
    "tokens/aud empty",
    "tokens/aud in other case",
    "tokens/aud a prefix",
    "tokens/aud longer",
    "tokens/aud an empty list",
)
WITHOUT_BODY = (
    "methods/GET",
    "methods/HEAD",
    "methods/TRACE",
    "methods/GET without a token",
    "origins/foreign, by GET",
)
NO_METHODS_AGAIN = ("methods/in lower case over HTTP/2", "methods/unknown over HTTP/2")
NATIVE_FOREIGN = ("native/from a foreign page", "native/no origin where one is required")
MALFORMED_HTTP2 = (
    "http2/no :*",
    "http2/:authority *",
    "http2/:path *",
    "http2/:status",
    "http2/a pseudo-header that is none",
    "http2/extended CONNECT",
    "http2/a name *",
    "http2/a value with *",
    "http2/connection",
    "http2/transfer-encoding",
    "http2/keep-alive",
    "http2/upgrade",
    "http2/te: gzip",
    "http2/a length that is no number",
    "http2/two lengths that differ",
    "http2/trailers of HTTP with a pseudo-header",
    "paths/asterisk over HTTP/2",
)
AS_A_CALL: Fields = {
    "content-type": ("text/plain", "application/grpc-web+proto"),
    "grpc-message": ("-", "there (in the headers)"),
}
NO_CORS: Fields = {
    "access-control-allow-origin": ("http://page.test", "-"),
    "access-control-expose-headers": ("*", "-"),
}
# Over HTTP/2 Envoy resets the stream where its parser says 400 or 431 over HTTP/1.1.
RESET_BY_ENVOY: Fields = {
    "ended": ("whole", "no answer"),
    "reset": ("-", "INTERNAL_ERROR"),
    "http": ("200", "-"),
    "content-type": ("application/grpc-web+proto", "-"),
    "vary": ("origin", "-"),
    "access-control-allow-origin": ("http://page.test", "-"),
    "access-control-expose-headers": ("*", "-"),
}
# The gateway's parser refuses before anything is known of an origin; Envoy names it always.
UNPARSED: Fields = {"vary": ("-", "origin")}
