from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.demo.oauth import (
    CODE_LIFETIME,
    ROLES,
    AuthorizationRequest,
    Codes,
    OAuthError,
    RedirectError,
    answer_at,
    parameters,
    proves,
    role_of,
)

# RFC 7636, appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

URIS = ("http://localhost:8080/", "https://localhost:8443/")
GOOD = {
    "response_type": "code",
    "client_id": "web",
    "redirect_uri": URIS[0],
    "state": "s",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
REQUEST = AuthorizationRequest.parse(GOOD, URIS)
REDEEM = {"client_id": "web", "redirect_uri": URIS[0], "code_verifier": VERIFIER}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_pkce_accepts_the_verifier_of_the_challenge_alone() -> None:
    assert proves(VERIFIER, CHALLENGE)
    assert not proves(VERIFIER[:-1] + "X", CHALLENGE)
    assert not proves("", CHALLENGE)
    assert not proves("ü" * 43, CHALLENGE)


def test_pkce_refuses_a_verifier_that_is_too_short_to_be_random() -> None:
    short = "a"  # its digest in base64url is a challenge of the right form
    assert not proves(short, "ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs")


def test_a_good_request_is_read_and_can_be_sent_again() -> None:
    assert AuthorizationRequest("web", URIS[0], "s", CHALLENGE) == REQUEST
    assert AuthorizationRequest.parse(REQUEST.form(), URIS) == REQUEST


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": ""},
        {"client_id": "cli"},
        {"redirect_uri": ""},
        {"redirect_uri": "http://localhost:8080"},
        {"redirect_uri": "http://localhost:8080/x"},
        {"redirect_uri": "http://localhost:8080/?x"},
        {"redirect_uri": "https://evil.example/"},
    ],
    ids=str,
)
def test_nothing_is_redirected_before_client_and_redirect_uri_are_known(change: dict[str, str]) -> None:
    with pytest.raises(OAuthError) as caught:
        AuthorizationRequest.parse(GOOD | change, URIS)
    assert not isinstance(caught.value, RedirectError)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": ""}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"state": ""}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "A"}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1] + "="}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "demo.read root"}, "invalid_scope"),
    ],
    ids=str,
)
def test_other_faults_are_told_to_the_client(change: dict[str, str], error: str) -> None:
    with pytest.raises(RedirectError) as caught:
        AuthorizationRequest.parse(GOOD | change, URIS)
    assert (caught.value.error, caught.value.redirect_uri) == (error, URIS[0])
    assert caught.value.state == (GOOD | change)["state"]


def test_a_code_is_redeemed_once() -> None:
    codes = Codes()
    code = codes.issue(REQUEST, ROLES["admin"])
    assert codes.redeem(REDEEM | {"code": code}) is ROLES["admin"]
    with pytest.raises(OAuthError):
        codes.redeem(REDEEM | {"code": code})


@pytest.mark.parametrize(
    "change",
    [{"client_id": "cli"}, {"redirect_uri": URIS[1]}, {"code_verifier": "x" * 43}, {"code_verifier": ""}],
    ids=str,
)
def test_a_failed_attempt_uses_the_code_up(change: dict[str, str]) -> None:
    codes = Codes()
    code = codes.issue(REQUEST, ROLES["reader"])
    for sent in (REDEEM | change, REDEEM):
        with pytest.raises(OAuthError, match="code") as caught:
            codes.redeem(sent | {"code": code})
        assert caught.value.error == "invalid_grant"


def test_a_code_lives_for_a_minute() -> None:
    clock = Clock()
    codes = Codes(clock)
    first, second = codes.issue(REQUEST, ROLES["reader"]), codes.issue(REQUEST, ROLES["reader"])
    clock.now += CODE_LIFETIME - 0.1
    assert codes.redeem(REDEEM | {"code": first}) is ROLES["reader"]
    clock.now += 0.1
    with pytest.raises(OAuthError):
        codes.redeem(REDEEM | {"code": second})


def test_roles_of_scopes() -> None:
    assert role_of("") is role_of("demo.read") is ROLES["reader"]
    assert role_of("demo.admin") is role_of("demo.admin demo.read") is ROLES["admin"]
    with pytest.raises(OAuthError) as caught:
        role_of("demo.readonly")
    assert caught.value.error == "invalid_scope"


def test_parameters_come_once_and_with_a_value() -> None:
    assert parameters([("a", "1"), ("b", "")]) == {"a": "1"}
    with pytest.raises(OAuthError, match="repeated") as caught:
        parameters([("a", "1"), ("a", "1")])
    assert caught.value.error == "invalid_request"


def test_an_answer_survives_the_address_it_travels_in() -> None:
    location = answer_at(URIS[0], "http://127.0.0.1:1", "a&b=c #ü%+", code="x/y")
    assert location.startswith(f"{URIS[0]}?")
    assert parse_qs(urlsplit(location).query) == {
        "code": ["x/y"],
        "state": ["a&b=c #ü%+"],
        "iss": ["http://127.0.0.1:1"],
    }
