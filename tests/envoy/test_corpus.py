"""Every case of the corpus through the gateway and the real Envoy: they differ as the table says, and not else."""

import pytest

from tests.envoy.client import play
from tests.envoy.compare import problems
from tests.envoy.corpus import CORPUS
from tests.envoy.corpus.case import Case
from tests.envoy.differences import TABLE
from tests.envoy.differences.row import fits
from tests.envoy.observation import observe
from tests.envoy.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Whatever differs: none of these reaches a backend through either of the two.
CLOSED = (
    "preflights/*", "origins/*", "methods/*", "types/*", "paths//*", "paths/http*",
    "http2/no :*", "http2/:path *", "http2/:authority *", "native/*foreign*", "native/without a token",
    "native/without the role",
)  # fmt: skip
CALLS = ("preflights/a call that says it is a preflight*", "methods/POST, overridden to GET*")


@pytest.mark.parametrize("case", CORPUS, ids=str)
async def test_they_differ_as_the_table_says(stage: Stage, case: Case) -> None:
    gateway, envoy = [observe(case, *await play(case, stage, proxy)) for proxy in ("gateway", "envoy")]
    assert not (wrong := problems(str(case), gateway, envoy, TABLE)), f"{case}\n" + "\n".join(wrong)
    if _fits_any(CLOSED, case) and not _fits_any(CALLS, case):
        assert (gateway["backend calls"], envoy["backend calls"]) == ("0", "0")


def _fits_any(patterns: tuple[str, ...], case: Case) -> bool:
    return any(fits(pattern, str(case)) for pattern in patterns)
