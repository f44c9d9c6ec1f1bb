"""The streams of a connection and the windows: what waits for the peer, and what it may send ahead."""

import asyncio

from h2.settings import SettingCodes

from gateway.http2 import CANCEL, SEND_BUFFER, STREAM_WINDOW
from tests.unit.http2.recording import Recorder, asked, serving


def names(recorder: Recorder) -> list[str]:
    return [each[0] for each in recorder.heard]


# --- what waits for the peer


async def test_a_stream_is_told_when_too_much_waits_and_again_when_there_is_room() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer)
    link.send(stream, bytes(65535))  # as much as the peer's window takes
    await peer.talk()
    link.send(stream, bytes(SEND_BUFFER))
    assert link.waiting(stream) == SEND_BUFFER
    assert recorder.heard == []
    link.send(stream, b"x")
    assert recorder.heard == [("full",)]
    link.send(stream, b"x")
    assert recorder.heard == [("full",)]  # told once
    for _ in range(2):  # more than half of it waits still
        peer.open_window(65536)
        peer.open_window(65536, stream)
        await peer.talk()
        assert (recorder.heard == [("full",)]) == (link.waiting(stream) > SEND_BUFFER // 2)
    assert link.waiting(stream) == SEND_BUFFER // 2 + 2
    for window in (None, stream):
        peer.open_window(2, window)
    await peer.talk()
    assert recorder.heard == [("full",), ("writable",)]
    link.send(stream, bytes(SEND_BUFFER))
    assert recorder.heard == [("full",), ("writable",), ("full",)]


async def test_a_stream_that_waits_does_not_hold_another_back() -> None:
    link, peer = await serving({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    slow, slow_recorder = await asked(link, peer)
    quick, quick_recorder = await asked(link, peer)
    link.send(slow, bytes(SEND_BUFFER * 2))
    link.send(quick, b"here")
    await peer.talk()
    assert names(slow_recorder) == ["full"]
    assert quick_recorder.heard == []
    assert peer.body(quick) == b"here"
    assert link.waiting(quick) == 0
    assert link.waiting(slow) == SEND_BUFFER * 2 - 1000


async def test_a_window_of_one_byte() -> None:
    link, peer = await serving({SettingCodes.INITIAL_WINDOW_SIZE: 1})
    stream, _ = await asked(link, peer)
    link.send(stream, b"abc", end=True)
    for expected in (b"a", b"ab", b"abc"):
        await peer.talk()
        assert peer.body(stream) == expected
        if expected != b"abc":
            peer.open_window(1, stream)
    assert peer.ended(stream)


async def test_a_stream_that_is_gone_is_not_told_of_room() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer)
    link.send(stream, bytes(SEND_BUFFER * 2))
    peer.h2.reset_stream(stream)
    await peer.talk()
    assert names(recorder) == ["full", "closed"]
    peer.open_window(SEND_BUFFER)
    await peer.talk()
    assert names(recorder) == ["full", "closed"]
    assert link.waiting(stream) == 0


# --- what the peer may send ahead


async def test_a_window_stays_shut_while_the_stream_is_held() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    link.hold(stream)
    assert peer.h2.local_flow_control_window(stream) == STREAM_WINDOW
    peer.send(stream, bytes(STREAM_WINDOW))
    await peer.talk()
    assert len(recorder.data) == STREAM_WINDOW
    assert peer.h2.local_flow_control_window(stream) == 0
    assert link.unacknowledged == STREAM_WINDOW
    assert link.missing_window == 0  # it is not lost
    link.release(stream)
    await peer.talk()
    assert peer.h2.local_flow_control_window(stream) == STREAM_WINDOW
    peer.send(stream, bytes(STREAM_WINDOW))
    await peer.talk()
    assert peer.h2.local_flow_control_window(stream) == STREAM_WINDOW  # and from then on it opens by itself
    assert link.unacknowledged == 0


async def test_the_connections_window_is_given_back_for_a_stream_that_is_gone() -> None:
    link, peer = await serving(window=STREAM_WINDOW)
    stream, _ = await asked(link, peer, end=False)
    link.hold(stream)
    peer.send(stream, bytes(STREAM_WINDOW))
    peer.h2.reset_stream(stream)
    await peer.talk()
    assert (link.unacknowledged, link.missing_window) == (0, 0)
    assert peer.h2.outbound_flow_control_window == STREAM_WINDOW


async def test_data_for_a_stream_that_this_end_has_reset_takes_no_window() -> None:
    link, peer = await serving(window=STREAM_WINDOW)
    for _ in range(4):
        stream, _ = await asked(link, peer, end=False)
        link.reset(stream, CANCEL)
        await asyncio.sleep(0)
        peer.send(stream, bytes(STREAM_WINDOW // 2))  # on its way when the reset was
        await peer.talk()
    assert peer.h2.outbound_flow_control_window >= STREAM_WINDOW // 2


async def test_data_for_nobody_takes_no_window() -> None:
    link, peer = await serving(window=STREAM_WINDOW)
    stream, _ = await asked(link, peer, end=False)
    del link.streams[stream]
    peer.send(stream, bytes(STREAM_WINDOW))
    await peer.talk()
    assert peer.h2.local_flow_control_window(stream) == STREAM_WINDOW
