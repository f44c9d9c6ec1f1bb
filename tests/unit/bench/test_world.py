"""The bench's configuration fits both subjects, and its tokens are good."""

from pathlib import Path

import pytest

from bench import world as bench_world
from bench.world import DEMO_SERVICE, ROLE, SERVICE, SMALL, World
from gateway import check
from gateway.envoy import render
from gateway.permit import Subject
from gateway.policy.tokens import TokenVerifier
from gateway.settings import Listener, Problem, SettingsError
from gateway.settings import load as load_settings


@pytest.mark.parametrize("with_descriptors", [True, False])
async def test_gateway_accepts_configuration_and_tokens(tmp_path: Path, with_descriptors: bool) -> None:
    world = World(tmp_path)
    path = world.configuration(50051, (SERVICE, DEMO_SERVICE), with_descriptors=with_descriptors)
    settings = load_settings(path)
    assert [*check.certificate_problems(settings), *check.descriptor_file_problems(settings)] == []
    catalog = check.read_catalog(settings)
    assert (catalog is not None) == with_descriptors
    if catalog is not None:
        assert f"/{SERVICE}/{SMALL}".encode() in catalog.unary
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
    path = World(tmp_path).configuration(50051, (SERVICE, DEMO_SERVICE), with_descriptors=True)
    text = render(load_settings(path)).text
    for part in ("jwt_cache_config", "envoy.filters.http.rbac", "envoy.filters.http.cors", "access_log"):
        assert part in text


def test_variants_of_the_configuration_are_files_of_their_own(tmp_path: Path) -> None:
    """What Envoy's is made of may not change under it."""
    world = World(tmp_path)
    paths = {
        world.configuration(port, (SERVICE,), with_descriptors=descriptors, http2=http2)
        for port in (1, 2)
        for descriptors in (True, False)
        for http2 in (True, False)
    }
    assert len(paths) == 8


@pytest.mark.parametrize(
    ("key", "said"),
    [("", ""), ("listeners[1].http2", "no HTTP/2 front"), ("listeners[1].bind", "")],
    ids=["built", "not-built", "other-problem"],
)
def test_http2_is_measured_once_the_gateway_accepts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, said: str
) -> None:
    seen: list[Path] = []

    def load(path: Path) -> None:
        seen.append(path)
        if key:
            raise SettingsError([Problem(key, None, "not supported yet")])

    monkeypatch.setattr(bench_world, "load_settings", load)
    reason = World(tmp_path).without_http2()
    assert said in reason
    assert bool(said) == bool(reason)
    assert "http2: true" in seen[0].read_text()


def test_this_gateway_answers_the_question_about_http2(tmp_path: Path) -> None:
    world = World(tmp_path)
    accepted = Listener.model_fields["http2"].annotation is bool and not Listener.model_fields["http2"].metadata
    assert bool(world.without_http2()) != accepted
