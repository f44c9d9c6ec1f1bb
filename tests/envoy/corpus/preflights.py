"""Preflights, and the CORS headers of answers (Fetch, sections 3.3 and 4.8)."""

from tests.envoy.configurations import ORIGIN
from tests.envoy.corpus.case import Case, call, nobody, preflight

FOREIGN = "http://evil.test"

PREFLIGHTS = [
    preflight("own origin"),
    preflight("own origin, on a port", "https://app.test:8443"),
    preflight("an origin of the pattern", "https://a.preview.test"),
    preflight("own origin, with credentials", configuration="credentials"),
    preflight("any origin", "https://whoever.test", configuration="anywhere"),
    preflight("any origin, null", "null", configuration="anywhere"),
    preflight("a foreign origin", FOREIGN),
    preflight("a foreign origin, with credentials", FOREIGN, configuration="credentials"),
    preflight("null", "null"),
    preflight("a foreign method", method="DELETE"),
    preflight("a method in lower case", method="post"),
    preflight("an empty method", method=""),
    preflight("a foreign header", headers="x-evil"),
    preflight("no headers", headers=None),
    preflight("a header of the configuration", headers="x-mine"),
    preflight("without an origin", None),
    preflight("without an origin where one is required", None, configuration="credentials"),
    preflight("without a method", method=None),
    preflight("of a foreign origin without a method", FOREIGN, method=None),
    preflight("of a method that nobody knows", target="/no.such.Service/Do"),
    preflight("of a path that is none", target="/"),
    preflight("of a path with a query", target="Echo?x=1"),
    preflight("of a method that is closed", target="Closed"),
    preflight("of a public method", target="Public"),
    preflight("with a token", add=[("authorization", "Bearer x")]),
    preflight("for the private network", add=[("access-control-request-private-network", "true")]),
    preflight("two origins", add=[("origin", FOREIGN)]),
    preflight("asterisk", target="*"),
    call("a call that says it is a preflight", add=[("access-control-request-method", "POST")]),
    call("the same without a token", add=[("access-control-request-method", "POST")], credentials=nobody),
]

CORS = [
    call("the origin is echoed"),
    call("the origin on a port", change={"origin": "https://app.test:8443"}),
    call("an origin of the pattern", change={"origin": "https://a.preview.test"}),
    call("with credentials", configuration="credentials"),
    call("any origin", change={"origin": FOREIGN}, configuration="anywhere"),
    call("without an origin", change={"origin": None}),
    call("on a refusal for want of a token", credentials=nobody),
    call("on a refusal for want of a role", "Closed"),
    call("on a refusal by the backend", "Refuse"),
    call("on what is not routed", "/no.such.Service/Do"),
    call("on 404", "/nothing"),
    call("on 405", verb="PUT"),
    call("on 415", change={"content-type": "text/plain"}),
    call("metadata is exposed", "Decorated"),
    call("what the backend says of CORS does not pass", "Meddling"),
    call("what the backend says of CORS does not pass to a foreign page", "Meddling", change={"origin": FOREIGN}),
    call("what the backend says of CORS does not pass without an origin", "Meddling", change={"origin": None}),
]

WITHOUT = {"origin": None}


def called_from(name: str, origin: str, configuration: str = "usual") -> Case:
    return call(name, change={"origin": origin}, configuration=configuration)


ORIGINS = [
    called_from("foreign", FOREIGN),
    called_from("foreign, with credentials", FOREIGN, "credentials"),
    called_from("null", "null"),
    called_from("null where any may call", "null", "anywhere"),
    called_from("empty", ""),
    called_from("asterisk", "*"),
    called_from("another scheme", "https://page.test"),
    called_from("another port", "http://page.test:81"),
    called_from("the default port", "http://page.test:80"),
    called_from("a slash at the end", "http://page.test/"),
    called_from("a dot at the end", "http://page.test."),
    called_from("a suffix", "http://page.test.evil.test"),
    called_from("a prefix", "http://evil-page.test"),
    called_from("user information", "http://page.test@evil.test"),
    called_from("other case", "HTTP://PAGE.TEST"),
    called_from("other case in the host", "http://Page.test"),
    called_from("two in one, a comma between", "http://page.test, http://evil.test"),
    called_from("two in one, a space between", "http://page.test http://evil.test"),
    called_from("pattern: no label", "https://preview.test"),
    called_from("pattern: two labels", "https://a.b.preview.test"),
    called_from("pattern: an empty label", "https://.preview.test"),
    called_from("pattern: a longer domain", "https://evil-preview.test"),
    called_from("pattern: another domain after", "https://a.preview.test.evil.test"),
    called_from("pattern: another scheme", "http://a.preview.test"),
    called_from("pattern: a port", "https://a.preview.test:8443"),
    called_from("pattern: a path", "https://evil.test/.preview.test"),
    called_from("pattern: user information", "https://evil.test@a.preview.test"),
    called_from("pattern: other case", "https://A.preview.test"),
    called_from("pattern: beyond ASCII", "https://\xfc.preview.test"),
    call("twice the same", add=[("origin", ORIGIN)]),
    call("two, the second foreign", add=[("origin", FOREIGN)]),
    call("two, the first foreign", change={"origin": FOREIGN}, add=[("origin", ORIGIN)]),
    call("none where one is required", change=WITHOUT, configuration="credentials"),
    call("foreign, on a public method", "Public", change={"origin": FOREIGN}, credentials=nobody),
    call("foreign, on a path that is none", "/nothing", change={"origin": FOREIGN}),
    call("foreign, by GET", change={"origin": FOREIGN}, verb="GET", body=b"", framed=False),
]
