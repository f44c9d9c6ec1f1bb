"""How much a peer may ask for, what it is told of that, and how much waits for it. All of them are security limits.

Rule: a browser that asks for more loses its connection. A backend's is everybody's, so that its limits are wider.
"""

from dataclasses import replace

from ngh2 import Configuration, Setting

from gateway.protocol.metadata import ENTRY_OVERHEAD

STREAM_WINDOW = 1024 * 1024  # bytes of one stream that a peer may send ahead
SEND_BUFFER = 256 * 1024  # bytes of one stream that wait for the peer before its source is paused
WRITE_BUFFER = 256 * 1024  # bytes in the transport that wait for the socket
TURN = 64 * 1024  # bytes read in one turn of the loop, after which others have theirs
MAX_STREAMS = 128  # of one connection at once
MAX_HEADER_LIST = 64 * 1024  # bytes of one header list (RFC 9113, section 6.5.2)

# Frames that ask for nothing, which the engine does not count: at once, and more of them per second; more for each
# piece of data that is sent, and one for so many bytes of it, since the peer acknowledges them.
PATIENCE, PATIENCE_RATE = 1000, 100
PATIENCE_SENT, ACKNOWLEDGED = 4, 2048

# Over one of these the engine gives the connection up: for resets and glitches (at once, per second) with a GOAWAY of
# its own, for the others in the middle. A backend's connection bears the calls of everybody: there it is the call that
# has too long a header list (reply_metadata), within reason.
SERVER = Configuration(
    auto_window_update=False,
    max_inbound_header_list_size=MAX_HEADER_LIST,
    max_inbound_header_count=256,
    max_continuations=8,
    max_settings=32,
    max_outbound_ack=1000,  # answers to SETTINGS and PING that the peer does not read
    stream_reset_rate_limit=(1000, 100),
    glitch_rate_limit=(1000, 100),
    max_send_header_block_length=4 * MAX_HEADER_LIST,  # names of metadata stand twice in an answer (CORS)
)
CLIENT = replace(
    SERVER,
    peer_max_concurrent_streams=100,  # that the peer allows, until it says
    max_inbound_header_list_size=16 * MAX_HEADER_LIST,
    max_inbound_header_count=MAX_HEADER_LIST // ENTRY_OVERHEAD,
    max_continuations=64,
)

SETTINGS = {Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW, Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST}
SERVER_SETTINGS = SETTINGS | {Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS}
CLIENT_SETTINGS = SETTINGS | {Setting.ENABLE_PUSH: 0, Setting.MAX_CONCURRENT_STREAMS: 0}
