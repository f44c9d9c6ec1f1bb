"""The names that a client certificate proves."""

from gateway.front.identities import identities_of


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
