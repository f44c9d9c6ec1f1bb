"""Pages of keys, for key sets that a test makes."""

import asyncio
from collections.abc import Callable

from gateway.policy.keys import KeySet, Refresh
from tests.support.tokens import jwk, jwks, rsa_key

KEYS = "/keys"
OLD, NEW = jwks(jwk(rsa_key("a"), "old")), jwks(jwk(rsa_key("b"), "new"))
FAST = Refresh(every=0.01, file_every=0.01, retry_first=0.01, retry_last=0.02)
MakeKeys = Callable[..., KeySet]


def open_key_sets() -> "list[asyncio.Task[object]]":
    """What still runs of any."""
    return [task for task in asyncio.all_tasks() if "KeySet" in repr(task.get_coro())]
