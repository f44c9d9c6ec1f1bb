"""Who is at the other end of a connection."""

import pytest

from gateway.peer import Peer, identities_of
from tests.support.memory import MemoryTransport


def test_each_kind_of_name() -> None:
    certificate = {
        "subject": ((("organizationName", "Shop"),), (("commonName", "batch"),)),
        "subjectAltName": (
            ("DNS", "ops.internal"),
            ("URI", "spiffe://shop/batch"),
            ("IP Address", "10.0.0.1"),
            ("email", "ops@shop.test"),
            ("DirName", "ignored"),
        ),
    }
    assert identities_of(certificate) == (
        "DNS:ops.internal",
        "spiffe://shop/batch",
        "IP:10.0.0.1",
        "email:ops@shop.test",
        "CN:batch",
    )


def test_a_uri_does_not_pass_for_a_name_of_another_kind() -> None:
    assert identities_of({"subjectAltName": (("URI", "CN:batch"), ("URI", "DNS:ops.internal"))}) == ()


def test_no_certificate_proves_nothing() -> None:
    assert identities_of(None) == ()
    assert identities_of({}) == ()


@pytest.mark.parametrize(
    ("extra", "peer"),
    [
        ({"peername": ("192.0.2.1", 4711)}, Peer("192.0.2.1", b"http", ())),
        ({"peername": ("2001:db8::1", 4711, 0, 0)}, Peer("2001:db8::1", b"http", ())),
        ({"peername": "/run/x.sock"}, Peer("", b"http", ())),
        ({}, Peer("", b"http", ())),
        ({"peername": ("192.0.2.1", 1), "sslcontext": object()}, Peer("192.0.2.1", b"https", ())),
        (
            {"sslcontext": object(), "peercert": {"subject": ((("commonName", "batch"),),)}},
            Peer("", b"https", ("CN:batch",)),
        ),
    ],
)
def test_of_a_transport(extra: dict[str, object], peer: Peer) -> None:
    assert Peer.of(MemoryTransport(**extra)) == peer
