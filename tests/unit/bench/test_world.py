"""The bench's configuration fits both subjects, and its tokens are good."""

from pathlib import Path

import pytest

from bench.cases import IDLE_H2
from bench.methods import METHODS
from bench.world import ROLE, World
from gateway import check
from gateway.envoy import render
from gateway.permit import Subject
from gateway.policy.tokens import TokenVerifier
from gateway.settings import load as load_settings


@pytest.mark.parametrize("transport", ["auto", "grpcio"])
async def test_gateway_accepts_configuration_and_tokens(tmp_path: Path, transport: str) -> None:
    world = World(tmp_path)
    settings = load_settings(world.configuration(50051, transport))
    assert [*check.certificate_problems(settings), *check.descriptor_file_problems(settings)] == []
    catalog = check.read_catalog(settings)
    assert catalog is not None
    assert catalog.unary == {method.path.encode() for method in METHODS if not method.streams}
    assert settings.limits.max_calls > IDLE_H2.connections * IDLE_H2.streams
    assert settings.listeners[1].http2
    first, second = world.tokens(2)
    assert first != second
    verifier = TokenVerifier(settings.auth)
    await verifier.start()
    subject = verifier.cached(first.encode())
    await verifier.close()
    assert isinstance(subject, Subject)
    assert subject.roles == {ROLE}


def test_envoy_gets_the_whole_policy(tmp_path: Path) -> None:
    """Without its cache Envoy would check a signature for every call, and without its log it would do less."""
    text = render(load_settings(World(tmp_path).configuration(50051))).text
    for part in ("jwt_cache_config", "envoy.filters.http.rbac", "envoy.filters.http.cors", "access_log"):
        assert part in text


def test_variants_of_the_configuration_are_files_of_their_own(tmp_path: Path) -> None:
    """What Envoy's is made of may not change under it."""
    world = World(tmp_path)
    paths = {
        world.configuration(port, transport, workers)
        for port in (1, 2)
        for transport in ("auto", "grpcio")
        for workers in (1, 2)
    }
    assert len(paths) == 8
    assert sorted(load_settings(path).workers for path in paths) == [1] * 4 + [2] * 4
