"""Calls over HTTP/2, to a server that we did not write."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import backend
from bench.load import h2load, paced
from bench.load.http2 import Http2, named
from bench.load.traffic import Traffic
from bench.process import BenchError, Process
from bench.way import Way
from bench.world import World, browser_headers
from tests.unit.bench.answers import REPLY, REQUEST, trailer

needs_nghttpd = pytest.mark.skipif(backend.find_nghttpd() is None, reason="needs nghttpd")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def url(world: World) -> Iterator[str]:
    """nghttpd with the answers /right and /wrong."""
    program = backend.find_nghttpd()
    assert program is not None
    pages = world.directory / "pages"
    pages.mkdir()
    (pages / "right").write_bytes(REPLY + trailer(0))
    (pages / "wrong").write_bytes(REPLY + trailer(14))
    port = backend.free_port()
    pair = world.pki.server
    arguments: list[str | Path] = [
        program,
        "--address=127.0.0.1",
        f"--htdocs={pages}",
        str(port),
        pair.private_key,
        pair.certificate,
    ]
    with Process(arguments, world.directory / "log") as process:
        process.wait_until(lambda: backend.listens(port))
        yield f"https://127.0.0.1:{port}"


def send(url: str, world: World, traffic: Traffic, calls: int) -> tuple[paced.Times, set[int]]:
    clients = [Http2(url, traffic, world.pki.ca, 4) for _ in range(2)]
    try:
        times = paced.send(clients, traffic.authorizations(), 2000, calls)
        return times, {client.size for client in clients}
    finally:
        for client in clients:
            client.link.close()


@needs_nghttpd
@pytest.mark.parametrize("tokens", [(), ["t" * 300] * 100], ids=["one token", "a token for each"])
def test_calls_are_answered(url: str, world: World, tokens: list[str]) -> None:
    traffic = Traffic("/right", REQUEST, browser_headers(None if tokens else "x" * 300), reply=REPLY, tokens=tokens)
    times, sizes = send(url, world, traffic, 100)
    assert len(times.taken) == 100
    assert sizes == {len(REPLY + trailer(0))}


@needs_nghttpd
@pytest.mark.parametrize("path", ["/wrong", "/missing"])
def test_a_call_that_fails_is_no_figure(url: str, world: World, path: str) -> None:
    with pytest.raises(BenchError, match="a call failed with"):
        send(url, world, Traffic(path, REQUEST, {}, reply=REPLY), 4)


@needs_nghttpd
@pytest.mark.skipif(h2load.find() is None, reason="needs h2load")
def test_h2load_counts_right_answers_only(url: str, world: World) -> None:
    def run(path: str, size: int) -> int:
        traffic = Traffic(path, REQUEST, browser_headers("x"))
        way = Way(http2=True, connections=2, streams=4)
        return h2load.H2load(url, traffic, way, size, world.directory / "load").send(1).calls

    assert run("/right", len(REPLY + trailer(0))) == 8  # one in each place, while it knows of no rate
    with pytest.raises(BenchError, match="some of 8 calls failed"):
        run("/wrong", len(REPLY + trailer(0)))
    with pytest.raises(BenchError, match="8 of 8 calls failed"):
        run("/missing", len(REPLY + trailer(0)))


def output(time: str, calls: int) -> str:
    """What h2load says of right answers of one byte."""
    return OUTPUT.format(time=time, succeeded=calls, data=calls).replace("2000", str(calls))


class Clock:
    """In place of h2load: a subject that takes 100 calls a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[int] = []
        monkeypatch.setattr(h2load, "find", lambda: Path("h2load"))
        monkeypatch.setattr(h2load, "_run", self.run)

    def run(self, arguments: list[str | Path]) -> str:
        self.calls.append(int(str(arguments[-1]).removeprefix("--requests=")))
        return output(f"{self.calls[-1] / 100}s", self.calls[-1])


def test_the_number_of_calls_follows_from_the_run_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    load = h2load.H2load("https://x", Traffic("/", b"", {}), Way(http2=True, connections=2, streams=1), 1, tmp_path)
    load.warm_up(1)
    assert clock.calls == [2, 20, 100]  # as long as is wanted, and no more than ten times as long as the one before
    assert load.send(3).seconds == 3
    assert load.send(0).calls == 2


def test_h2load_over_http1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str | Path]] = []

    def run(arguments: list[str | Path]) -> str:
        seen.append(arguments)
        return output("1s", 64)

    monkeypatch.setattr(h2load, "find", lambda: Path("h2load"))
    monkeypatch.setattr(h2load, "_run", run)
    for http2 in (True, False):
        way = Way(http2=http2, windows=(17, 18))
        h2load.H2load("http://x", Traffic("/", b"", {}), way, 1, tmp_path).send(1)
    assert ["--h1" in arguments for arguments in seen] == [False, True]
    assert {"--window-bits=17", "--connection-window-bits=18", "--clients=64"} <= set(map(str, seen[0]))


OUTPUT = """\
finished in {time}, 85164.37 req/s, 409.12MB/s
requests: 2000 total, 2000 started, 2000 done, {succeeded} succeeded, 0 failed, 0 errored, 0 timeout
status codes: {succeeded} 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 9.61MB (10074432) total, 23.77KB (24336) headers (space savings 93.28%), 84.00KB ({data}) data
"""


@pytest.mark.parametrize(("time", "seconds"), [("23.48ms", 0.02348), ("2.50s", 2.5), ("900us", 0.0009)])
def test_h2load_says_how_long_it_took(time: str, seconds: float) -> None:
    outcome = h2load.judged(OUTPUT.format(time=time, succeeded=2000, data=86000), 43)
    assert outcome.calls == 2000
    assert outcome.seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (OUTPUT.format(time="1s", succeeded=1999, data=86000), "1 of 2000 calls failed"),
        (OUTPUT.format(time="1s", succeeded=2000, data=85980), "some of 2000 calls failed: 85980 bytes"),
        ("no connection", "something else: no connection"),
    ],
)
def test_h2load_with_a_failed_call_is_no_figure(output: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        h2load.judged(output, 43)


@pytest.mark.parametrize("size", [0, 126, 127, 128, 255, 300, 16_511])
def test_lengths_of_fields(size: int) -> None:
    """RFC 7541, section 5.1: seven bits, then groups of seven."""
    field = named("", "x" * size, keep=False)
    assert field.startswith(b"\0\0")
    number, at = field[2], 3
    if number == 127:
        shift = 0
        while True:
            number += (field[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if field[at - 1] < 128:
                break
    assert number == size
    assert field[at:] == b"x" * size
