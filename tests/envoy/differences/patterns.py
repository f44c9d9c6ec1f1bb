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
)
QUERIES = ("tokens/in the query", "roles/*, with a query", "paths//*?*")
FRAGMENTS = ("roles/closed, with a fragment", "paths//*#*", "paths/http*")
WRONG_METHODS = ("cors/on 405", "methods/*")
NO_METHODS = ("methods/in lower case", "methods/unknown", "methods/CONNECT", "methods/POST, overridden to GET")
WRONG_TYPES = ("cors/on 415", "types/*")
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
AS_A_CALL: Fields = {
    "content-type": ("text/plain", "application/grpc-web+proto"),
    "grpc-message": ("-", "there (in the headers)"),
}
NO_CORS: Fields = {
    "access-control-allow-origin": ("http://page.test", "-"),
    "access-control-expose-headers": ("*", "-"),
}
# The gateway's parser refuses before anything is known of an origin; Envoy names it always.
UNPARSED: Fields = {"vary": ("-", "origin")}
