"""What one peer is, and that a count of calls remembers nobody who has none."""

import pytest

from gateway.policy.peers import PeerCalls, peer_name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "unix"),
        ("a:b", "a:b"),
    ],
)
def test_an_address_is_of_a_peer(address: str, name: str) -> None:
    assert peer_name(address) == name


def test_each_peer_has_its_own_room() -> None:
    calls = PeerCalls()
    assert [calls.enter("192.0.2.1", 2) for _ in range(3)] == [True, True, False]
    assert calls.enter("192.0.2.2", 2)
    calls.leave("192.0.2.1")  # of the refused one
    assert not calls.enter("192.0.2.1", 2)
    calls.leave("192.0.2.1")
    calls.leave("192.0.2.1")
    assert calls.enter("192.0.2.1", 2)


def test_the_addresses_of_a_line_share_its_room() -> None:
    calls = PeerCalls()
    assert calls.enter("2001:db8:0:1::1", 1)
    assert not calls.enter("2001:db8:0:1::2", 1)
    assert calls.enter("2001:db8:0:2::1", 1)


def test_who_has_left_is_forgotten() -> None:
    calls = PeerCalls()
    for number in range(1000):
        calls.enter(f"192.0.2.{number}", 1)
        calls.leave(f"192.0.2.{number}")
    assert len(calls) == 0
