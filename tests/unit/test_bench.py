"""The bench measures what it says: its configuration fits the gateway, and a call that fails is never a figure."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench import load, streams
from bench.process import BenchError, Process, descendants
from bench.profile import by_part, self_times
from bench.report import Report, Result
from bench.world import DEMO_SERVICE, ROLE, SERVICE, SMALL, World, frame
from gateway import check
from gateway.permit import Subject
from gateway.policy.tokens import TokenVerifier
from gateway.settings import load as load_settings

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


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


@linux
def test_descendants_are_part_of_a_process(tmp_path: Path) -> None:
    grandchild = "import sys; print('up', flush=True); sys.stdin.read()"
    child = (
        "import subprocess, sys\n"
        f"each = subprocess.Popen([sys.executable, '-c', {grandchild!r}], stdin=subprocess.PIPE)\n"
        "print(each.pid, flush=True)\n"
        "each.wait()\n"
    )
    with Process([sys.executable, "-c", child], tmp_path / "log") as process:
        pid = process.wait_for(lambda line: int(line) if line.strip().isdecimal() else None)
        assert descendants(process.pid) == [process.pid, pid]
        process.wait_for(lambda line: line.startswith("up") or None)
        assert process.resident() > 8 * 1024 * 1024  # two interpreters
    with pytest.raises(BenchError, match="ended with -15"):
        process.wait_for(lambda line: None)


@linux
def test_cpu_time_outlives_the_child_that_spent_it(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.1: pass"
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {burn!r}])\n"
        "print('over', flush=True)\n"
        "time.sleep(60)\n"
    )
    with Process([sys.executable, "-c", parent], tmp_path / "log") as process:
        process.wait_for(lambda line: line.startswith("over") or None)
        assert process.cpu_seconds() >= 0.1


@linux
def test_last_words_of_a_process_that_fails(tmp_path: Path) -> None:
    with (
        Process([sys.executable, "-c", "raise SystemExit('no such port')"], tmp_path / "log") as process,
        pytest.raises(BenchError, match="ended with 1: no such port"),
    ):
        process.wait_until(lambda: False)


@asynccontextmanager
async def answering(body: bytes) -> AsyncIterator[str]:
    """A server that answers every request with HTTP 200 and `body`, and keeps connections unless asked not to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(len(frame(b"x")))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                if b"connection: close" in head:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def trailer(status: int) -> bytes:
    block = b"grpc-status:%d\r\n" % status
    return b"\x80" + len(block).to_bytes(4, "big") + block


@pytest.mark.skipif(load.find_wrk() is None, reason="needs wrk")
@pytest.mark.parametrize("status", [0, 14])
async def test_a_round_with_failed_calls_is_no_figure(tmp_path: Path, status: int) -> None:
    traffic = load.Traffic("/a.B/C", frame(b"x"), {"x-grpc-web": "1"})
    async with answering(frame(b"y") + trailer(status)) as url:
        run = asyncio.to_thread(load.send, url, traffic, connections=2, seconds=1, folder=tmp_path)
        if status:
            with pytest.raises(BenchError, match=r"calls failed, the first with HTTP 200, .*grpc-status:14"):
                await run
        else:
            outcome = await run
            assert outcome.calls > 0
            assert outcome.overdrawn == 0


@pytest.mark.skipif(load.find_wrk() is None, reason="needs wrk")
async def test_tokens_that_run_out_are_told(tmp_path: Path) -> None:
    traffic = load.Traffic("/a.B/C", frame(b"x"), {}, tokens=["one", "two"])
    async with answering(trailer(0)) as url:
        outcome = await asyncio.to_thread(load.send, url, traffic, connections=2, seconds=1, folder=tmp_path)
    assert outcome.overdrawn >= outcome.calls - 2


@pytest.mark.parametrize("status", [0, 4])
async def test_a_stream_that_fails_is_no_figure(status: int) -> None:
    sent = streams.request("/a.B/C", b"x", {}, keep=False)
    async with answering(frame(b"y") + trailer(status)) as url:
        if status:
            with pytest.raises(BenchError, match="did not end with grpc-status 0"):
                await streams.read_to_end(url, sent, 2)
        else:
            await streams.read_to_end(url, sent, 2)


@pytest.mark.parametrize("body", [b"", trailer(16)], ids=["empty", "refused"])
async def test_a_stream_that_never_began_is_not_idle(body: bytes) -> None:
    sent = streams.request("/a.B/C", b"x", {}, keep=True)
    async with answering(body) as url:
        with pytest.raises(BenchError, match="ended before its first message"):
            async with asyncio.timeout(5), streams.held_open(url, sent, 2):
                pytest.fail("it counts as open")


def test_self_time_is_that_of_the_innermost_function_of_the_main_thread() -> None:
    own = self_times(
        [
            "thread (7): MainThread;run (a.py:1);relay (b.py:2) 5",
            "thread (7): MainThread;run (a.py:1) 1",
            "thread (7): MainThread;run (a.py:1);other (c.py:3);relay (b.py:2) 2",
            "thread (8): poller;poll (d.py:4) 90",
        ]
    )
    assert own == {"relay (b.py:2)": 7, "run (a.py:1)": 1}


def report() -> Report:
    machine = {
        "date": "today", "commit": "abc", "cpu": "a cpu", "cores": 2, "system": "Linux", "python": "3.11",
        "libraries": {"aiohttp": "3"}, "backend": "nghttpd",
    }  # fmt: skip
    rounds = [{"ready_ms": value, "ready_cpu_ms": 1000.0} for value in (900.0, 1500.0, 1000.0)]
    results = [Result("start", "a start", "start", rounds), Result("refused", "no token", "calls", error="no wrk")]
    return Report(machine, {"rounds": 3, "seconds": 5}, results)


def test_tables_show_median_least_and_greatest() -> None:
    table, provenance, failure = report().markdown().split("\n\n")
    assert table.splitlines() == [
        "| case | ms to ready | CPU ms to ready |",
        "| --- | ---: | ---: |",
        "| start | 1,000 (900 to 1,500) | 1,000 |",
    ]
    assert "commit abc" in provenance
    assert failure == "refused: no wrk"
    assert "start  1,000 (900 to 1,500)" in report().text()


def test_a_report_is_read_back(tmp_path: Path) -> None:
    report().write(tmp_path / "new" / "file.json")
    assert Report.from_json((tmp_path / "new" / "file.json").read_text()).text() == report().text()
    with pytest.raises(ValueError, match="not a report"):
        Report.from_json('{"machine": {}}')


def test_self_times_by_part() -> None:
    own = Counter(
        {
            "f (gateway/front/http1.py:1)": 2,
            "g (gateway/front/pages.py:9)": 1,
            "h (grpc/aio/_call.py:5)": 4,
            "i (<string>:1)": 1,
            "j (gateway/call.py:7)": 1,
            "k (gateway/call.py:9)": 1,
        }
    )
    assert by_part(own) == {"gateway/front": 3, "grpc": 4, "<string>": 1, "gateway/call.py": 2}
