"""Origins are in the one form that browsers send, or refused with that form."""

import json

import pytest

from tests.unit.settings.reading import read, told

LEFT_MOST = "* must be the whole left-most label of the host"
KEY = "gateway.yaml:3: cors.allow_origins[0]: "


def cors(origin: str) -> str:
    return f"cors: {{allow_origins: [{json.dumps(origin, ensure_ascii=False)}]}}\n"


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://app.example.com",
        "https://app.example.com:8443",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "https://[2001:db8::1]:8443",
        "https://*.preview.example.com",
        "https://*.example.com:8443",
        "https://*.localhost",
        "https://xn--bcher-kva.example",
        "https://under_score.example.com",
    ],
)
def test_canonical(origin: str) -> None:
    assert read(cors(origin)).cors.allow_origins == (origin,)


@pytest.mark.parametrize(
    ("origin", "canonical"),
    [
        ("https://APP.example.com", "https://app.example.com"),
        ("HTTPS://app.example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("https://app.example.com/path?query#fragment", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://app.example.com:443/", "http://app.example.com:443"),
        ("https://app.example.com:08443", "https://app.example.com:8443"),
        ("https://app.example.com:", "https://app.example.com"),
        ("https://[2001:DB8:0::1]", "https://[2001:db8::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://*.Bücher.example/", "https://*.xn--bcher-kva.example"),
    ],
)
def test_another_form_is_refused_with_the_canonical_one(origin: str, canonical: str) -> None:
    assert told(cors(origin)) == [f"{KEY}is not in the form that browsers send: {origin} (hint: write {canonical})"]
    assert told(cors(canonical)) == []


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("", "must not be empty"),
        ("null", "null is sent by files and sandboxed frames of anybody (hint: name the page's real origin)"),
        ("app.example.com", "must be a scheme and a host: app.example.com (hint: write https://app.example.com)"),
        ("ftp://app.example.com", "must be http or https: ftp://app.example.com"),
        ("https://", "has no valid host: https://"),
        ("https://a:b:c", "has no valid host: https://a:b:c"),
        ("http://localhost:*", "the port must be a number: http://localhost:* (hint: name each port that is meant)"),
        ("https://a:0", "port 0 is not from 1 to 65535: https://a:0"),
        ("https://a:65536", "port 65536 is not from 1 to 65535: https://a:65536"),
        ("https://user:hunter2@a", "an origin has no user or password"),
        ("https://a b", "'a b' is not a host name: https://a b"),
        ("https://a..b", "'a..b' is not a host name: https://a..b"),
        ("https://-a.b", "'-a.b' is not a host name: https://-a.b"),
        ("https://[::g]", "[::g] is not an IPv6 address: https://[::g]"),
        (
            "https://*.com",
            "is too wide, it lets in whoever has a name under com: https://*.com (hint: write https://*.example.com)",
        ),
        ("https://*", f"{LEFT_MOST}: https://* (hint: write https://*.example.com)"),
        ("https://a*.example.com", f"{LEFT_MOST}: https://a*.example.com (hint: write https://*.example.com)"),
        ("https://a.*.com", f"{LEFT_MOST}: https://a.*.com (hint: write https://*.example.com)"),
        ("https://*.*.com", f"{LEFT_MOST}: https://*.*.com (hint: write https://*.example.com)"),
        ("https://straße.example", "must be in the form that browsers send (punycode, xn--…): https://straße.example"),
    ],
)
def test_refused(origin: str, message: str) -> None:
    assert told(cors(origin)) == [KEY + message]
