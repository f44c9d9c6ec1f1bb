"""What of a request may stand in a log."""

from gateway.request import MAX_SHOWN, shown


def test_what_strangers_send_is_shown_printable_and_bounded() -> None:
    assert shown(b"https://app.example.com") == "https://app.example.com"
    assert shown(b"\x1b[2J\x9b31m\r\n\x7f\xc3\xa9") == r"\x1b[2J\x9b31m\r\n\x7f\xc3\xa9"
    assert shown(b"a" * 9000) == "a" * MAX_SHOWN
    assert len(shown(b"\xff" * 9000)) == MAX_SHOWN
