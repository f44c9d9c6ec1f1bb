from dataclasses import dataclass

from gateway.policy.token_cache import TokenCache
from tests.support.clock import Clock


@dataclass
class Basis:
    generation: int = 1


def test_keeps_until_its_time_and_not_at_it() -> None:
    clock = Clock(1000.0)
    cache: TokenCache[str] = TokenCache(10, clock)
    cache.put(b"t", "yes", 1010.0)
    clock.now = 1009.9
    assert cache.get(b"t") == "yes"
    clock.now = 1010.0
    assert cache.get(b"t") is None
    assert len(cache) == 0


def test_what_is_over_is_not_kept() -> None:
    cache: TokenCache[str] = TokenCache(10, Clock(1000.0))
    cache.put(b"t", "yes", 1000.0)
    assert len(cache) == 0


def test_falls_with_what_it_rests_on() -> None:
    cache: TokenCache[str] = TokenCache(10, Clock(1000.0))
    basis = Basis()
    cache.put(b"t", "yes", 2000.0, basis)
    assert cache.get(b"t") == "yes"
    basis.generation += 1
    assert cache.get(b"t") is None


def test_the_oldest_goes_first() -> None:
    cache: TokenCache[int] = TokenCache(2, Clock(1000.0))
    for number, token in enumerate((b"a", b"b", b"a", b"c")):
        cache.put(token, number, 2000.0)
    assert (cache.get(b"a"), cache.get(b"b"), cache.get(b"c")) == (2, None, 3)
    assert len(cache) == 2


def test_a_token_checked_again_pushes_nobody_out() -> None:
    cache: TokenCache[int] = TokenCache(2, Clock(1000.0))
    for number, token in enumerate((b"a", b"b", b"b")):
        cache.put(token, number, 2000.0)
    assert (cache.get(b"a"), cache.get(b"b")) == (0, 2)
