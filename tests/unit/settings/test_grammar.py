"""Names and places: headers, methods, services, identities, targets, URLs, algorithms."""

import json
from pathlib import Path

import pytest

from gateway.settings.algorithm import ALGORITHMS
from tests.unit.settings.reading import ISSUER, LISTENERS, UPSTREAMS, read, told

ONLY_A_SERVICE = "* stands only for every method of one service"
UPSTREAM = "upstreams: {{shop: {{services: [{service}], targets: [{target}], tls: {tls}}}}}\n"


def problem(
    rest: str = "", *, listeners: str = LISTENERS, upstreams: str = UPSTREAMS, base: Path = Path("/etc")
) -> str:
    """The one problem, without its place."""
    (line,) = told(rest, listeners=listeners, upstreams=upstreams, base=base)
    return line.partition(": ")[2].partition(": ")[2]


def upstream(*, service: str = "shop.v1.Orders", target: str = "shop:1", tls: object = None) -> str:
    return UPSTREAM.format(service=json.dumps(service), target=json.dumps(target), tls=json.dumps(tls or {}))


def rule(**rule: list[str]) -> str:
    return (
        ISSUER
        + "authorization: "
        + json.dumps({"rules": [{"methods": ["/shop.v1.Orders/GetOrder"], "roles": ["r"]} | rule]})
        + "\n"
    )


# -- headers ---------------------------------------------------------------------------------------------------------


def test_cors_headers_are_lower_case_at_last() -> None:
    cors = read("cors: {allow_headers: [X-Tenant, x-a], expose_headers: [X-B]}\n").cors
    assert cors.allow_headers == ("x-tenant", "x-a")
    assert cors.expose_headers == ("x-b",)


@pytest.mark.parametrize("key", ["allow_headers", "expose_headers"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("*", "* does not cover authorization and is not supported (hint: name each header)"),
        ("x y", "is not the name of a header: 'x y'"),
        ("x:", "is not the name of a header: 'x:'"),
        ("ü", "is not the name of a header: 'ü'"),
        ("", "must not be empty"),
    ],
)
def test_no_headers(key: str, name: str, message: str) -> None:
    assert problem(f"cors: {{{key}: [{json.dumps(name)}]}}\n") == message


def test_claims_go_to_headers() -> None:
    assert read("auth: {forward_claims: {x-user-id: sub}}\n").auth.forward_claims == {"x-user-id": "sub"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("X-User", "names of metadata are lower case (hint: write x-user)"),
        ("x_user", "must be of a-z, 0-9, dots and dashes (hint: write x-user)"),
        ("x user", "must be of a-z, 0-9, dots and dashes"),
        ("x-user-bin", "names in -bin carry binary values, claims are text (hint: write x-user)"),
        *(
            (name, "has a meaning of its own and cannot carry a claim (hint: choose a name like x-user-id)")
            for name in (
                *("authorization", "cookie", "host", "content-type", "te", "user-agent", "grpc-timeout", "origin"),
                *("x-forwarded-for", "sec-fetch-site", "accept-encoding", "access-control-allow-origin", "connection"),
            )
        ),
    ],
)
def test_headers_that_carry_no_claim(name: str, message: str) -> None:
    assert problem(f"auth: {{forward_claims: {{{json.dumps(name)}: sub}}}}\n") == message


# -- methods, services, identities -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["/shop.v1.Orders/GetOrder", "/shop.v1.Orders/*", "/Service/Method"])
def test_methods_of_rules(method: str) -> None:
    assert read(rule(methods=[method]), upstreams=upstream(service="*")).authorization.rules[0].methods == (method,)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("shop.v1.Orders/Get", "must begin with a slash: shop.v1.Orders/Get (hint: write /shop.v1.Orders/Get)"),
        ("*", f"{ONLY_A_SERVICE}: * (hint: write /pkg.Service/*)"),
        ("/*", f"{ONLY_A_SERVICE}: /* (hint: write /pkg.Service/*)"),
        ("/shop.v1.*/GetOrder", f"{ONLY_A_SERVICE}: /shop.v1.*/GetOrder (hint: write /pkg.Service/*)"),
        ("/a.B/Get*", f"{ONLY_A_SERVICE}: /a.B/Get* (hint: write /pkg.Service/*)"),
        ("/a.B", "must be /pkg.Service/Method or /pkg.Service/*: /a.B"),
        ("/a.B/C/", "must be /pkg.Service/Method or /pkg.Service/*: /a.B/C/"),
        ("//a.B/C", "must be /pkg.Service/Method or /pkg.Service/*: //a.B/C"),
        ("/a.B/C%2e", "must be /pkg.Service/Method or /pkg.Service/*: /a.B/C%2e"),
        ("/a.B/C\n", "must be /pkg.Service/Method or /pkg.Service/*: /a.B/C\\n"),
    ],
)
def test_no_methods_of_rules(method: str, message: str) -> None:
    assert problem(rule(methods=[method])) == message


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("/a.B/*", "must be one exact method: /a.B/* (hint: name each method: /pkg.Service/Method)"),
        ("a.B/C", "must begin with a slash: a.B/C (hint: write /a.B/C)"),
        ("/a.B/C/", "must be /pkg.Service/Method: /a.B/C/"),
    ],
)
def test_public_methods_are_exact(method: str, message: str) -> None:
    assert problem(f"auth: {{public_methods: [{json.dumps(method)}]}}\n") == message


@pytest.mark.parametrize("service", ["shop.v1.Orders", "shop.v1.*", "*", "Orders"])
def test_services(service: str) -> None:
    assert read(upstreams=upstream(service=service)).upstreams["shop"].services == (service,)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("/shop.v1.Orders", 'must be pkg.Service, pkg.* or "*": /shop.v1.Orders (hint: write shop.v1.Orders)'),
        ("shop.v1.Orders/Get", 'must be pkg.Service, pkg.* or "*": shop.v1.Orders/Get'),
        ("shop.*.Orders", 'must be pkg.Service, pkg.* or "*": shop.*.Orders'),
        ("shop.v1*", 'must be pkg.Service, pkg.* or "*": shop.v1*'),
        (".*", 'must be pkg.Service, pkg.* or "*": .*'),
        ("**", 'must be pkg.Service, pkg.* or "*": **'),
    ],
)
def test_no_services(service: str, message: str) -> None:
    assert problem(upstreams=upstream(service=service)) == message


MTLS = """
listeners:
  - bind: 127.0.0.1:1
    tls: {certificate: /dev/null, private_key: /dev/null, client_ca: /dev/null, client_auth: optional}
"""


@pytest.mark.parametrize(
    "identity",
    [
        *("spiffe://example.org/batch", "https://a.example/x", "urn:uuid:1"),
        *("DNS:ops.internal", "CN:batch job", "IP:10.0.0.1", "email:a@b"),
    ],
)
def test_identities(identity: str) -> None:
    settings = read(rule(identities=[identity]), listeners=MTLS)
    assert settings.authorization.rules[0].identities == (identity,)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ("ops.internal", "(hint: did you mean DNS:ops.internal?)"),
        ("dns:ops.internal", "(hint: write DNS:ops.internal)"),
        ("URI:spiffe://example.org/x", "(hint: write spiffe://example.org/x)"),
        ("spiffe:///x", "must be a URI such as"),
        ("DNS:Ops.internal", "must be in lower case: DNS:Ops.internal (hint: write DNS:ops.internal)"),
        ("DNS:*.internal", "must be one host name: DNS:*.internal (hint: name each)"),
        ("IP:::1", "must be an IPv4 address: IP:::1"),
        ("CN:", "has nothing, or a space, after CN: 'CN:'"),
        ("CN: x", "has nothing, or a space, after CN: 'CN: x'"),
    ],
)
def test_no_identities(identity: str, message: str) -> None:
    assert message in problem(rule(identities=[identity]), listeners=MTLS)


@pytest.mark.parametrize("name", ["bad name", "a.b", "", "x" * 65])
def test_names_of_upstreams(name: str) -> None:
    upstreams = json.dumps({name: {"services": ["a.B"], "targets": ["a:1"], "tls": {}}})
    (line,) = told(upstreams=f"upstreams: {upstreams}\n")
    assert "must be of letters, digits, _ and -" in line or "must not be empty" in line


# -- targets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "taken"),
    [
        ("shop:50051", "shop:50051"),
        ("10.0.0.1:50051", "10.0.0.1:50051"),
        ("[::1]:50051", "[::1]:50051"),
        ("dns:///shop.internal:50051", "dns:///shop.internal:50051"),
        ("dns://8.8.8.8/shop.internal:50051", "dns://8.8.8.8/shop.internal:50051"),
        ("dns:shop.internal:50051", "dns:shop.internal:50051"),
        ("unix:/run/shop.sock", "unix:/run/shop.sock"),
        ("unix:///run/shop.sock", "unix:/run/shop.sock"),
        ("unix:run/shop.sock", "unix:/base/run/shop.sock"),
        ("xds:///shop", "xds:///shop"),
    ],
)
def test_targets(target: str, taken: str) -> None:
    assert read(upstreams=upstream(target=target), base=Path("/base")).upstreams["shop"].targets == (taken,)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop", "must be HOST:PORT or [V6]:PORT, like shop:8080"),
        ("shop:0", "port '0' is not a number from 1 to 65535"),
        ("dns:///shop", "must be HOST:PORT or [V6]:PORT, like shop:8080: dns:///shop"),
        ("https://shop:1", "is a URL: https://shop:1 (hint: write HOST:PORT, and say tls or plaintext beside it)"),
        ("ipv4://shop:1", "must be HOST:PORT, dns:///HOST:PORT, unix:PATH or xds:///NAME: ipv4://shop:1"),
        ("xds:shop", "must be xds:///NAME: xds:shop"),
        ("xds:///", "must be xds:///NAME: xds:///"),
        ("unix:", "names no socket (hint: write unix:PATH)"),
        ("", "must not be empty"),
    ],
)
def test_no_targets(target: str, message: str) -> None:
    assert problem(upstreams=upstream(target=target)) == message


@pytest.mark.parametrize("name", ["shop.internal", "10.0.0.1", "::1", "a_b"])
def test_server_names(name: str) -> None:
    tls = read(upstreams=upstream(tls={"server_name": name})).upstreams["shop"].tls
    assert tls is not None
    assert tls.server_name == name


@pytest.mark.parametrize("name", ["shop.internal:1", "https://shop", "*.internal", "a b"])
def test_no_server_names(name: str) -> None:
    message = problem(upstreams=upstream(tls={"server_name": name}))
    assert message == f"must be a host name, without scheme or port: {name}"


# -- issuers ---------------------------------------------------------------------------------------------------------


def issuer(**issuer: object) -> str:
    return "auth: " + json.dumps({"issuers": [{"issuer": "https://a.example/", "audiences": ["api"]} | issuer]}) + "\n"


@pytest.mark.parametrize(
    "url",
    [
        *("https://login.example.com", "https://login.example.com/realms/x"),
        *("http://localhost:8081", "http://127.0.0.1/", "http://[::1]:1/"),
    ],
)
def test_issuers_are_kept_byte_for_byte(url: str) -> None:
    assert read(issuer(issuer=url)).auth.issuers[0].issuer == url


@pytest.mark.parametrize("key", ["issuer", "jwks"])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://login.example.com", "must be https (hint: http is accepted for this machine only)"),
        ("http://localhost.example.com", "must be https (hint: http is accepted for this machine only)"),
        ("ftp://login.example.com", "must be a URL like https://login.example.com/"),
        ("https://", "must be a URL like https://login.example.com/"),
        ("https://user:hunter2@login.example.com/", "must not hold a user or password"),
        ("https://login.example.com/ x", "is not a URL: it has spaces or characters outside ASCII"),
        ("https://login.example.com:port/", "is not a URL (hint: write https://host/path)"),
        ("https://[::1/", "is not a URL (hint: write https://host/path)"),
    ],
)
def test_no_urls(key: str, url: str, message: str) -> None:
    assert problem(issuer(**{key: url})) == message


def test_queries_and_fragments() -> None:
    assert problem(issuer(issuer="https://a.example/?x")) == "must not have a query or fragment"
    assert problem(issuer(jwks="https://a.example/#x")) == "must not have a fragment"
    assert read(issuer(jwks="https://a.example/?x")).auth.issuers[0].jwks == "https://a.example/?x"


def test_where_the_keys_are(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{}")
    assert read(issuer()).auth.issuers[0].jwks == "discover"
    assert read(issuer(jwks="keys.json"), base=tmp_path).auth.issuers[0].jwks == tmp_path / "keys.json"
    message = f"no such file: none.json (hint: looked for {tmp_path / 'none.json'})"
    assert problem(issuer(jwks="none.json"), base=tmp_path) == message


def test_algorithms() -> None:
    assert read(issuer(algorithms=list(ALGORITHMS))).auth.issuers[0].algorithms == ALGORITHMS


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("HS256", "HS256 uses a shared secret, which a public key set must not hold"),
        ("hs512", "hs512 uses a shared secret, which a public key set must not hold"),
        ("none", "none means no signature: anybody could write such a token"),
        ("NoNe", "none means no signature: anybody could write such a token"),
        ("rs256", "(hint: did you mean RS256?)"),
        ("", "must not be empty"),
    ],
)
def test_no_algorithms(algorithm: str, message: str) -> None:
    assert message in problem(issuer(algorithms=[algorithm]))


def test_empty_lists_that_would_let_nobody_in_or_everybody() -> None:
    for key in ("audiences", "algorithms", "token_types"):
        assert problem(issuer(**{key: []})) == "must not be empty"
