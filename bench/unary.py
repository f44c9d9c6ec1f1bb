"""Cases of unary calls: as many as the subject takes, and then 70 % of that."""

from functools import partial

from bench import full_load, part_load
from bench.full_load import Supply
from bench.harness import Harness
from bench.load.traffic import Traffic
from bench.methods import LARGE, SMALL, Method, frame
from bench.process import BenchError
from bench.result import SATURATED, Figures
from bench.subject import ENVOY
from bench.trial import Trial
from bench.way import Way
from bench.world import browser_headers

PLAIN = Way()
UNAUTHENTICATED = 16
IDLE = 0.02  # of a core: what a backend spends that hears nothing


def echo(harness: Harness, name: str, *, way: Way = PLAIN, method: Method = SMALL, transport: str = "auto") -> Figures:
    """One message there, the same back. Raises BenchError, as all of them do."""
    supply = one_token(harness, method)
    with harness.subject(name, harness.file_backend, transport) as subject:
        return _round(Trial(harness, subject, way), supply)


large = partial(echo, method=LARGE)


def one_token(harness: Harness, method: Method = SMALL) -> Supply:
    """Each call with the same one."""
    traffic = _traffic(harness, method)
    return lambda _calls: traffic


def new_tokens(harness: Harness) -> Supply:
    """Each call with a token that the subject has never seen: a signature to check for every one."""

    def supply(calls: int) -> Traffic:
        tokens = harness.world.tokens(calls)
        return Traffic(SMALL.path, frame(SMALL.message), browser_headers(None), reply=SMALL.reply, tokens=tokens)

    return supply


def cold_token(harness: Harness, name: str) -> Figures:
    """A signature to check for each call. Raises BenchError."""
    with harness.subject(name, harness.file_backend) as subject:
        return _round(Trial(harness, subject, PLAIN), new_tokens(harness))


def refused(harness: Harness, name: str) -> Figures:
    """Calls without a token: they end at the gate."""
    traffic = Traffic(SMALL.path, frame(SMALL.message), browser_headers(None), status=UNAUTHENTICATED)
    behind = harness.file_backend
    with harness.subject(name, behind) as subject, harness.spent_by(behind.process) as heard:
        figures = _round(Trial(harness, subject, PLAIN), lambda _calls: traffic)
    if heard.busy > IDLE:
        raise BenchError(f"the backend was busy for {heard.cpu:.2f} s with calls that should have been refused")
    return figures


def same_load(harness: Harness, name: str, *, way: Way, peak_of: str) -> Figures:
    """Times at 70 % of what Envoy took in the case `peak_of` of the same round. Empty when that is not known."""
    envoy = harness.round.get(peak_of, {}).get(ENVOY, {})
    if envoy.get("core_busy", 0.0) < SATURATED:
        return {}
    rate = part_load.PART * envoy["calls_per_second"]
    traffic = _traffic(harness, SMALL)
    with harness.subject(name, harness.file_backend) as subject:
        trial = Trial(harness, subject, way)
        part_load.send(trial, traffic, rate, int(rate * trial.effort.warm_up))
        figures = part_load.figures(trial, traffic, rate)
        return {"calls_per_second": rate, **figures, "rss_mib": trial.resident_mib}


def _traffic(harness: Harness, method: Method) -> Traffic:
    return Traffic(method.path, frame(method.message), browser_headers(harness.token), reply=method.reply)


def _round(trial: Trial, supply: Supply) -> Figures:
    load = full_load.send(trial, supply)
    rate = load.outcome.rate
    figures = {"calls_per_cpu_second": load.calls_per_cpu_second, "calls_per_second": rate, **load.core}
    # A subject that was not the bottleneck could take more, and nobody knows what 70 % of that is.
    if figures["core_busy"] >= SATURATED:
        part = part_load.PART * rate
        figures |= part_load.figures(trial, supply(int(part * trial.effort.seconds)), part)
    return figures | {"rss_mib": trial.resident_mib}
