"""Permissions: default deny, the more particular rule decides, names count whole."""

import pytest

from gateway.permit import NOBODY, Subject
from gateway.policy.authorize import Permissions
from gateway.settings import Authorization

RULES = {
    "rules": [
        {"methods": ["/shop.v1.Orders/GetOrder"], "roles": ["orders.read", "admin"]},
        {"methods": ["/shop.v1.Catalog/*"], "roles": ["catalog"]},
        {"methods": ["/shop.v1.Catalog/Delete"], "roles": ["admin"]},
        {"methods": ["/shop.v1.Jobs/Run"], "identities": ["CN:batch", "spiffe://shop/batch"]},
        {"methods": ["/shop.v1.Jobs/Run"], "roles": ["operator"]},
    ]
}


def subject(*roles: str) -> Subject:
    return Subject("ann", roles=frozenset(roles))


@pytest.mark.parametrize(
    ("path", "roles", "allowed"),
    [
        (b"/shop.v1.Orders/GetOrder", ["orders.read"], True),
        (b"/shop.v1.Orders/GetOrder", ["admin", "x"], True),
        (b"/shop.v1.Orders/GetOrder", ["admin.readonly"], False),
        (b"/shop.v1.Orders/GetOrder", ["ADMIN"], False),
        (b"/shop.v1.Orders/GetOrder", [], False),
        (b"/shop.v1.Orders/getOrder", ["admin"], False),
        (b"/shop.v1.Orders/GetOrders", ["admin"], False),
        (b"/shop.v1.Orders/*", ["admin"], False),
        (b"/shop.v1.Catalog/List", ["catalog"], True),
        (b"/shop.v1.Catalog/Delete", ["catalog"], False),  # the exact rule decides alone
        (b"/shop.v1.Catalog/Delete", ["admin"], True),
        (b"/shop.v1.CatalogX/List", ["catalog"], False),
        (b"/shop.v1.Jobs/Run", ["operator"], True),  # two rules for one method add up
        (b"/other.v1.Thing/Do", ["admin"], False),
    ],
)
def test_roles(path: bytes, roles: list[str], allowed: bool) -> None:
    assert Permissions(Authorization.model_validate(RULES)).allows(path, subject(*roles), ()) is allowed


@pytest.mark.parametrize(
    ("identities", "allowed"),
    [(("CN:batch",), True), (("DNS:x", "spiffe://shop/batch"), True), (("CN:batch2",), False), (("DNS:batch",), False)],
)
def test_identities(identities: tuple[str, ...], allowed: bool) -> None:
    permissions = Permissions(Authorization.model_validate(RULES))
    assert permissions.allows(b"/shop.v1.Jobs/Run", NOBODY, identities) is allowed


def test_what_no_rule_names_is_closed_unless_opened_to_the_authenticated() -> None:
    path = b"/shop.v1.Orders/ListOrders"
    closed = Permissions(Authorization.model_validate(RULES))
    opened = Permissions(Authorization.model_validate(RULES | {"default": "authenticated"}))
    assert not closed.allows(path, subject("admin"), ())
    assert opened.allows(path, subject(), ())
    assert not opened.allows(path, NOBODY, ("CN:batch",))
    assert not opened.allows(b"/shop.v1.Orders/GetOrder", subject(), ())  # a rule that is there still holds
