"""Routes: the most particular one wins."""

from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from gateway.ends import UpstreamRequest
from gateway.permit import Permit, Refusal
from gateway.protocol.status import Code, Status
from gateway.upstream.base import FULL, AddressState, Upstreams
from gateway.upstream.call_bound import CallBound
from tests.support.ends import Road


class Named:
    """An upstream that tells its name."""

    retries: Mapping[str, int] = {}
    addresses: tuple[AddressState, ...] = ()
    connections = 0

    def __init__(self, name: str, calls: int = 0) -> None:
        self.name = name
        self.calls = calls
        self.bound = CallBound.of(10)

    def open(self, permit: Permit, request: UpstreamRequest, reply: object) -> Refusal:
        return Refusal(Status(Code.OK), self.name)

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
    assert isinstance(opened, Refusal)
    assert opened.reason == name


def test_an_unrouted_path_is_unimplemented() -> None:
    two = upstreams(a="a.A", b="b.B")
    assert not two.routed(b"/c.C/M")
    assert not two.routed(b"/grpc.health.v1.Health/Check")  # with two upstreams nobody knows whose is meant
    opened = two.open(Permit(b"/c.C/M"), UpstreamRequest([], None, b"application/grpc"), Road().call)
    assert isinstance(opened, Refusal)
    assert opened.status.code == Code.UNIMPLEMENTED


def test_health_goes_to_a_single_upstream() -> None:
    assert upstreams(a="a.A").routed(b"/grpc.health.v1.Health/Check")
    assert not upstreams(a="a.A").routed(b"/b.B/M")


@pytest.mark.parametrize("others", [0, 2])
def test_an_upstream_may_have_a_bound_of_its_own(others: int) -> None:
    names = {f"other{number}": Named(f"other{number}") for number in range(others)}
    busy = names["busy"] = Named("busy")
    busy.bound = CallBound.of(10, 8)
    routes = Upstreams(names, {"*": "busy"})
    opened = []
    for calls in (7, 8):
        busy.calls = calls
        opened.append(routes.open(Permit(b"/a.B/C"), UpstreamRequest([], None, b"application/grpc"), Road().call))
    assert opened == [Refusal(Status(Code.OK), "busy"), FULL]


@pytest.mark.parametrize(("others", "bound"), [(0, 10), (1, 5), (2, 5)])
def test_an_upstream_beside_others_may_fill_half_of_the_house(others: int, bound: int) -> None:
    names = {f"other{number}": Named(f"other{number}", calls=10) for number in range(others)}
    busy = names["busy"] = Named("busy")
    routes = Upstreams(names, {"*": "busy"})

    def opened() -> object:
        return routes.open(Permit(b"/a.B/C"), UpstreamRequest([], None, b"application/grpc"), Road().call)

    busy.calls = bound - 1
    assert opened() == Refusal(Status(Code.OK), "busy")
    busy.calls = bound
    with capture_logs() as events:
        assert [opened(), opened()] == [FULL, FULL]
    assert events == [{"event": "upstream_full", "log_level": "warning", "upstream": "busy", "calls": bound}]
    busy.calls -= 1
    assert opened() == Refusal(Status(Code.OK), "busy")
