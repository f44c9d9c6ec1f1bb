import pytest

from gateway.policy.rate_redis import RedisCounts, address_of, redis_problem


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1", "127.0.0.1:6379/0"),
        ("redis://127.0.0.1:/3", "127.0.0.1:6379/3"),
        ("redis://:secret@127.0.0.1/2", "127.0.0.1:6379/2"),
        ("rediss://user:secret@[::1]/0", "[::1]:6379/0"),
        ("redis://127.0.0.1:7000/0", "127.0.0.1:7000/0"),
    ],
)
async def test_a_url_needs_no_port(url: str, address: str) -> None:
    assert address_of(url) == address
    await RedisCounts(url, allow_uncounted=False).close()


async def test_a_redis_that_is_not_there_is_a_problem_without_a_secret() -> None:
    problem = await redis_problem("redis://:secret@127.0.0.1:1/0")
    assert problem is not None
    assert problem.startswith("127.0.0.1:1/0: ")
    assert "secret" not in problem
