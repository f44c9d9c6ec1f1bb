"""Cases of unary calls."""

from functools import partial

from bench.calls import PLAIN, Round, Way
from bench.harness import Harness
from bench.load.traffic import Traffic
from bench.process import BenchError
from bench.report import Figures
from bench.world import LARGE, LARGE_MESSAGE, SERVICE, SMALL, SMALL_MESSAGE, browser_headers, frame

UNAUTHENTICATED = 16
IDLE = 0.02  # of a core: what a backend spends that hears nothing


def echo(
    harness: Harness,
    name: str,
    *,
    way: Way = PLAIN,
    descriptors: bool = True,
    method: str = SMALL,
    message: bytes = SMALL_MESSAGE,
) -> Figures:
    """One message there, the same back. Raises BenchError, as all of them do."""
    body = frame(message)
    traffic = Traffic(f"/{SERVICE}/{method}", body, browser_headers(harness.token), reply=body)
    with harness.subject(name, harness.fast_backend, descriptors=descriptors, http2=way.http2) as subject:
        return Round(harness, subject, way, lambda _calls: traffic).figures()


large = partial(echo, method=LARGE, message=LARGE_MESSAGE)


def cold_token(harness: Harness, name: str) -> Figures:
    """Each call with a token that the subject has never seen: a signature to check for every one."""

    def supply(calls: int) -> Traffic:
        body = frame(SMALL_MESSAGE)
        tokens = harness.world.tokens(calls)
        return Traffic(f"/{SERVICE}/{SMALL}", body, browser_headers(None), reply=body, tokens=tokens)

    with harness.subject(name, harness.fast_backend) as subject:
        return Round(harness, subject, PLAIN, supply).figures()


def refused(harness: Harness, name: str) -> Figures:
    """Calls without a token: they end at the gate."""
    traffic = Traffic(f"/{SERVICE}/{SMALL}", frame(SMALL_MESSAGE), browser_headers(None), status=UNAUTHENTICATED)
    behind = harness.fast_backend
    with harness.subject(name, behind) as subject, harness.spent_by(behind.process) as heard:
        figures = Round(harness, subject, PLAIN, lambda _calls: traffic).figures()
    if heard.busy > IDLE:
        raise BenchError(f"the backend was busy for {heard.cpu:.2f} s with calls that should have been refused")
    return figures
