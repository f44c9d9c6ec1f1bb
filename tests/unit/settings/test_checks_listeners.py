"""Listeners that take more than one key to judge: plaintext, client certificates, addresses."""

from collections.abc import Mapping

import pytest

from tests.unit.settings.reading import FILES, listeners, told


def test_plaintext_on_a_public_address() -> None:
    assert told(listeners=listeners({"bind": "0.0.0.0:8080"})) == [
        "gateway.yaml:1: listeners[0].bind: plaintext on 0.0.0.0:8080, which other machines can reach "
        "(hint: give it tls, bind it to 127.0.0.1, or write allow_plaintext: true behind something that does TLS)"
    ]


@pytest.mark.parametrize(
    "listener",
    [
        {"bind": "0.0.0.0:8080", "allow_plaintext": True},
        {"bind": "0.0.0.0:8080", "tls": FILES},
        {"bind": "127.0.0.1:8080"},
        {"bind": "[::1]:8080"},
        {"bind": "localhost:8080"},
    ],
)
def test_where_plaintext_may_be(listener: Mapping[str, object]) -> None:
    assert told(listeners=listeners(listener)) == []


@pytest.mark.parametrize("client_auth", ["optional", "required"])
def test_client_auth_needs_client_ca(client_auth: str) -> None:
    assert told(listeners=listeners({"bind": "127.0.0.1:1", "tls": FILES | {"client_auth": client_auth}})) == [
        f"gateway.yaml:1: listeners[0].tls.client_auth: client_auth: {client_auth} needs client_ca "
        "(hint: name the certificates that may sign those of clients)"
    ]


def test_a_client_ca_that_nobody_asks_about() -> None:
    assert told(listeners=listeners({"bind": "127.0.0.1:1", "tls": FILES | {"client_ca": "/dev/null"}})) == [
        "gateway.yaml:1: listeners[0].tls.client_ca: has no effect: no client is asked for a certificate "
        "(hint: write client_auth: optional or required, or remove client_ca)"
    ]


def test_an_address_twice() -> None:
    both = listeners({"bind": "127.0.0.1:1"}, {"bind": "127.0.0.1:0"}, {"bind": "127.0.0.1:0"}, {"bind": "127.0.0.1:1"})
    assert told(listeners=both) == [
        "gateway.yaml:1: listeners[3].bind: 127.0.0.1:1 is taken by listeners[0].bind (hint: choose another port)"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("127.0.0.1:1", "0.0.0.0:1"),
        ("[::]:1", "[::1]:1"),
        ("localhost:1", "127.0.0.1:1"),
        ("0.0.0.0:1", "localhost:1"),
    ],
)
def test_every_address_takes_in_each(one: str, other: str) -> None:
    both = listeners({"bind": one, "allow_plaintext": True}, {"bind": other, "allow_plaintext": True})
    assert told(listeners=both) == [
        f"gateway.yaml:1: listeners[1].bind: {other} is taken by listeners[0].bind, {one} (hint: choose another port)"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.0.0.0:1", "[::]:1"),
        ("0.0.0.0:1", "[::1]:1"),
        ("[::]:1", "127.0.0.1:1"),
        ("0.0.0.0:1", "127.0.0.1:2"),
        ("0.0.0.0:0", "127.0.0.1:0"),
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("0.0.0.0:1", "a.example:1"),
    ],
)
def test_addresses_beside_each_other(one: str, other: str) -> None:
    both = listeners({"bind": one, "allow_plaintext": True}, {"bind": other, "allow_plaintext": True})
    assert told(listeners=both) == []


@pytest.mark.parametrize("bind", ["0.0.0.0:9901", "127.0.0.1:9901"])
def test_the_address_of_the_operators_pages_is_taken(bind: str) -> None:
    taken = "admin.bind" if bind == "127.0.0.1:9901" else "admin.bind, 127.0.0.1:9901"
    listener = listeners({"bind": bind, "allow_plaintext": True})
    assert told(listeners=listener) == [
        f"gateway.yaml:1: listeners[0].bind: {bind} is taken by {taken} "
        "(hint: choose another port, or write another for admin.bind)"
    ]
    assert told("admin: null\n", listeners=listener) == []
    written = listeners({"bind": "127.0.0.1:1"})
    assert told("admin: {bind: '0.0.0.0:1'}\n", listeners=written) == [
        "gateway.yaml:3: admin.bind: 0.0.0.0:1 is taken by listeners[0].bind, 127.0.0.1:1 (hint: choose another port)"
    ]
    assert told("admin: {bind: '[::]:9901'}\n", listeners=listener) == []
