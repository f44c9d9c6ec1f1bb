"""Tokens: every kind of bad one, on a method that a good one opens. The table is tests/support/token_table.py."""

from collections.abc import Sequence

from gateway.protocol.metadata import Header
from tests.envoy.corpus.case import BINARY, HELLO, IN_TEXT, Case, Credentials, call, nobody, reader, subject
from tests.support.token_table import CASES
from tests.support.tokens import KeyWorld, authorization


def _in_other_header(name: bytes) -> Credentials:
    def credentials(keys: KeyWorld) -> Sequence[Header]:
        return [(name, b"Bearer " + keys.es256())]

    return credentials


def _bad(keys: KeyWorld) -> Sequence[Header]:
    return authorization(b"eyJhbGciOiJub25lIn0.e30.")


def _good_then_bad(keys: KeyWorld) -> Sequence[Header]:
    return [*authorization(keys.es256()), *_bad(keys)]


def _bad_then_good(keys: KeyWorld) -> Sequence[Header]:
    return [*_bad(keys), *authorization(keys.es256())]


TOKENS: list[Case] = [
    *(call(case.name, credentials=case.headers) for case in CASES),
    call("on a stream: none", "Three", credentials=nobody),
    call("on a stream: expired", "Three", credentials=subject(exp=1)),
    call("in text mode: none", body=b"", change=IN_TEXT, credentials=nobody),
    call("over TLS: none", tls=True, credentials=nobody),
    call("a good one, then a bad one", credentials=_good_then_bad),
    call("a bad one, then a good one", credentials=_bad_then_good),
    call("in the query", "Echo?access_token=eyJhbGciOiJub25lIn0.e30.", credentials=nobody),
    call("in x-authorization", credentials=_in_other_header(b"x-authorization")),
    call("in proxy-authorization", credentials=_in_other_header(b"proxy-authorization")),
    call("in another case of the header", credentials=_in_other_header(b"AUTHORIZATION")),
    call("a bad one on a public method", "Public", credentials=_bad),
    call("a good one on a public method", "Public", credentials=reader),
    call("an expired one on a public method", "Public", credentials=subject(exp=1)),
    call("a bad one on what is not routed", "/no.such.Service/Do", credentials=_bad),
    call("none on what is not routed", "/no.such.Service/Do", credentials=nobody),
    call("none on a method that is closed", "Closed", credentials=nobody),
    call("none where every token will do", credentials=nobody, configuration="credentials"),
    call("a good one where every token will do", "/test.v1.Unruled/Echo", configuration="credentials"),
    call("a good one that stays at the proxy", configuration="credentials"),
    call("none, and a body that is no frame", body=b"garbage", credentials=nobody),
    call(
        "none, and a body that is still to come",
        body=HELLO[:3],
        framed=False,
        add=[("content-length", "9999")],
        change={"content-type": BINARY},
        credentials=nobody,
    ),
]

ADMIN = subject(roles=["admin"], scope=...)
ROLES = [
    call("the right one", "Closed", credentials=ADMIN),
    call("a missing one", "Closed"),
    call("no role at all", credentials=subject(scope=...)),
    call("admin.readonly is not admin", "Closed", credentials=subject(scope="admin.readonly")),
    call("a prefix of it", "Closed", credentials=subject(scope="adm")),
    call("other case", "Closed", credentials=subject(scope="ADMIN")),
    call("in a list", "Closed", credentials=subject(scope=..., roles=["other", "admin"])),
    call("as one text with a comma", "Closed", credentials=subject(scope=..., roles="admin,other")),
    call("as one text with spaces", "Closed", credentials=subject(scope="other admin")),
    call("as one text with two spaces", "Closed", credentials=subject(scope="other  admin")),
    call("as one text, first", "Closed", credentials=subject(scope="admin other")),
    call("as one text, in the middle", "Closed", credentials=subject(scope="other admin more")),
    call("as one text, a longer word first", "Closed", credentials=subject(scope="admin.readonly other")),
    call("as one text, a longer word last", "Closed", credentials=subject(scope="other superadmin")),
    call("in realm_access.roles", "Closed", credentials=subject(scope=..., realm_access={"roles": ["admin"]})),
    call("in a claim that is not read", "Closed", credentials=subject(scope=..., groups=["admin"])),
    call("a list with a list in it", "Closed", credentials=subject(scope=..., roles=[["admin"]])),
    call("a number in the list", "Closed", credentials=subject(scope=..., roles=[1, "admin"])),
    call("an object", "Closed", credentials=subject(scope=..., roles={"admin": True})),
    call("a list in scope", "Closed", credentials=subject(scope=["admin"])),
    call("roles is one word", "Closed", credentials=subject(scope=..., roles="admin")),
    call("any of two", "Either"),
    call("any of two, the other", "Either", credentials=ADMIN),
    call("an exact rule keeps a wider one out", "Closed", credentials=subject(scope="orders.read")),
    call("an exact rule opens beside a wider one", "/test.v1.Wild/Echo"),
    call("a wildcard rule, with the role", "/test.v1.Wild/Three", credentials=ADMIN),
    call("a wildcard rule, without the role", "/test.v1.Wild/Three"),
    call("an exact rule in place of the wildcard", "/test.v1.Wild/Echo", credentials=ADMIN),
    call("a wildcard rule, and a method that nobody knows", "/test.v1.Wild/Nothing", credentials=ADMIN),
    call("a service without a rule", "/test.v1.Unruled/Echo"),
    call(
        "a service without a rule, with every role",
        "/test.v1.Unruled/Echo",
        credentials=subject(scope="orders.read admin"),
    ),
    call("a service whose name goes on", "/test.v1.Wildest/Echo", credentials=ADMIN),
    call("a service in other case", "/test.v1.wild/Echo", credentials=ADMIN),
    call("a method in other case", "/test.v1.Wild/echo"),
    call("health is public by one path", "/grpc.health.v1.Health/Check", credentials=nobody),
    call("health, in other case", "/grpc.health.v1.Health/check", credentials=nobody),
    call("health, a slash at the end", "/grpc.health.v1.Health/Check/", credentials=nobody),
    call("health, watch", "/grpc.health.v1.Health/Watch", credentials=nobody),
    call("public method, a longer name", "Public2", credentials=nobody),
    call("public method, with a query", "Public?x=1", credentials=nobody),
    call("public method, an encoded letter", "Publi%63", credentials=nobody),
    call("a role that a header claims", "Closed", add=[("x-roles", "admin"), ("x-user-id", "root")]),
    call("closed, by a spelling of the path", "Close%64"),
    call("closed, behind another path", "/test.v1.Script/Echo/../Closed"),
    call("closed, behind two slashes", "/test.v1.Script//Closed"),
    call("closed, with a query", "Closed?x"),
    call("closed, with a fragment", "Closed#x"),
    call("closed, with a parameter", "Closed;x=1"),
    call("a token for everything where every token will do", "Closed", configuration="credentials"),
]
