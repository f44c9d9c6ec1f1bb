"""Routes: the most particular one wins."""

import pytest

from gateway.ends import UpstreamRequest
from gateway.permit import Permit
from gateway.protocol.status import Code, Status
from gateway.upstream.base import Upstreams
from tests.support.ends import Road


class Named:
    """An upstream that tells its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def open(self, permit: Permit, request: UpstreamRequest, reply: object) -> Status:
        return Status(Code.OK, self.name)

    @property
    def credentials(self) -> None:
        return None

    @property
    def problem(self) -> str:
        return ""

    def start(self) -> None: ...

    def renew(self) -> bool:
        return False

    async def reachable(self) -> bool:
        return True

    async def close(self) -> None: ...


def upstreams(**services: str) -> Upstreams:
    names = {name: Named(name) for name in services}
    return Upstreams(names, {service: name for name, listed in services.items() for service in listed.split()})


ROUTES = upstreams(orders="shop.v1.Orders", shop="shop.v1.* shop.*", rest="*")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/shop.v1.Orders/Get", "orders"),
        (b"/shop.v1.Catalog/Get", "shop"),
        (b"/shop.v2.Orders/Get", "shop"),
        (b"/shopping.v1.Cart/Get", "rest"),
        (b"/shop/Get", "rest"),
        (b"/grpc.health.v1.Health/Check", "rest"),
    ],
)
def test_the_most_particular_route_wins(path: bytes, name: str) -> None:
    assert ROUTES.routed(path)
    opened = ROUTES.open(Permit(path), UpstreamRequest([], None, b"application/grpc"), Road().call)
    assert isinstance(opened, Status)
    assert opened.message == name


def test_an_unrouted_path_is_unimplemented() -> None:
    two = upstreams(a="a.A", b="b.B")
    assert not two.routed(b"/c.C/M")
    assert not two.routed(b"/grpc.health.v1.Health/Check")  # with two upstreams nobody knows whose is meant
    opened = two.open(Permit(b"/c.C/M"), UpstreamRequest([], None, b"application/grpc"), Road().call)
    assert isinstance(opened, Status)
    assert opened.code == Code.UNIMPLEMENTED


def test_health_goes_to_a_single_upstream() -> None:
    assert upstreams(a="a.A").routed(b"/grpc.health.v1.Health/Check")
    assert not upstreams(a="a.A").routed(b"/b.B/M")
