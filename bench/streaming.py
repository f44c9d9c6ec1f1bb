"""Cases of server streams: over HTTP/1.1, from the grpcio backend."""

import asyncio
import time

from bench.harness import Harness, Spent
from bench.load import streams
from bench.load.http1 import request
from bench.report import Figures
from bench.subject import Running
from bench.world import DEMO_SERVICE, browser_headers, frame
from gateway.demo.pb.demo_pb2 import CountReply, CountRequest

COUNT = f"/{DEMO_SERVICE}/Count"
STREAMS = 8
SMALL, LARGE = 16, 1024 * 1024  # bytes of payload
WARM_UP_SMALL, WARM_UP_LARGE = 500, 32  # messages
AN_HOUR = 3_600_000  # milliseconds


def stream(harness: Harness, name: str) -> Figures:
    """Small messages as fast as they come, in a few long streams. Raises BenchError, as all of them do."""
    with harness.subject(name, harness.streaming_backend) as subject:
        each, spent = _as_fast_as_they_come(harness, subject, SMALL, WARM_UP_SMALL, STREAMS)
        messages = each * STREAMS
        return {
            "messages_per_cpu_second": messages / spent.cpu,
            "messages_per_second": messages / spent.wall,
            "core_busy": spent.busy,
            "rss_mib": _resident(subject),
        }


def bulk(harness: Harness, name: str) -> Figures:
    """Messages of 1 MiB in one stream."""
    with harness.subject(name, harness.streaming_backend) as subject:
        mebibytes, spent = _as_fast_as_they_come(harness, subject, LARGE, WARM_UP_LARGE, 1)
        return {
            "mib_per_cpu_second": mebibytes / spent.cpu,
            "mib_per_second": mebibytes / spent.wall,
            "core_busy": spent.busy,
            "rss_mib": _resident(subject),
        }


def _as_fast_as_they_come(
    harness: Harness, subject: Running, payload: int, warm_up: int, count: int
) -> tuple[int, Spent]:
    """`count` streams of messages with so many bytes. The messages of each, and what the subject spent on all."""

    def read(messages: int) -> None:
        message = CountRequest(count=messages, payload_bytes=payload).SerializeToString()
        sent = request(COUNT, frame(message), browser_headers(harness.token), keep=False)
        asyncio.run(streams.read_to_end(subject.http_url, sent, count, _size(messages, payload)))

    started = time.perf_counter()
    read(warm_up)
    messages = int(warm_up / (time.perf_counter() - started) * harness.effort.seconds)
    with harness.measured(subject.process) as spent:
        read(messages)
    return messages, spent


def _size(messages: int, payload: int) -> int:
    """Bytes of the data frames with the numbers 1 to `messages`."""
    empty = sum(len(frame(CountReply(number=number).SerializeToString())) for number in range(1, messages + 1))
    filled = CountReply(number=1, payload=bytes(payload)).ByteSize() - CountReply(number=1).ByteSize()
    return empty + messages * filled


def idle(harness: Harness, name: str) -> Figures:
    """Memory: with nothing to do, and with idle streams."""
    message = CountRequest(count=0, interval_ms=AN_HOUR).SerializeToString()
    sent = request(COUNT, frame(message), browser_headers(harness.token))
    count = harness.effort.streams
    with harness.subject(name, harness.streaming_backend) as subject:

        async def with_streams() -> float:
            async with streams.held_open(subject.http_url, sent, count):
                return _resident(subject)

        alone = _resident(subject)
        full = asyncio.run(with_streams())
        return {
            "rss_idle_mib": alone,
            "idle_streams": count,
            "rss_streams_mib": full,
            "kib_per_stream": (full - alone) * 1024 / count,
        }


def _resident(subject: Running) -> float:
    return subject.process.resident() / 1024**2
