"""The grpcio channels of one upstream: made from certificate files, swapped when those are renewed.

Rules
- A channel's certificate never changes (grpcio): renewed files mean new channels. New calls take the new ones at once,
  calls in flight finish on the old ones, which close with their last call.
- A pair that is not good is not used: the old channels stay, and the caller raises the alarm.
- A channel is taken and its call started without an await between, so no call starts on a channel that is being closed.
"""

import asyncio
import contextlib
from typing import Any

import grpc

from gateway.settings import Upstream as UpstreamSettings
from gateway.upstream.credentials import load_credentials

CONNECT_TIMEOUT = 2.0  # seconds that `reachable` waits for a connection


class Link:
    """One channel and how many calls are on it."""

    __slots__ = ("_methods", "_retired", "calls", "channel", "closed")

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.calls = 0
        self.closed = False
        self._retired = False
        self._methods: dict[str, Any] = {}

    def unary(self, path: str) -> Any:
        """The multi-callable of a method that descriptors call unary; there are as many as they name."""
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self.channel.unary_unary(path)
        return method

    def enter(self) -> None:
        self.calls += 1

    def leave(self) -> None:
        self.calls -= 1
        if self._retired and not self.calls:
            self._close()

    def retire(self) -> None:
        """Close with the last call."""
        self._retired = True
        if not self.calls:
            self._close()

    def _close(self) -> None:
        self.closed = True
        task = asyncio.get_running_loop().create_task(self.channel.close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()  # asyncio keeps no strong reference to a task


class Channels:
    """`connections` channels to each target, taken in turn."""

    def __init__(self, settings: UpstreamSettings, *, max_response: int, user_agent: str) -> None:
        """Reads the certificates; raises CertificateError."""
        self._settings = settings
        self._options = _options(settings, max_response, user_agent)
        self.credentials = load_credentials(settings)
        self._links = self._connect()
        self._turn = 0

    def take(self) -> Link:
        """The next channel in turn; one without a connection is passed over while another has one."""
        links = self._links
        if len(links) == 1:
            return links[0]
        for _ in links:
            self._turn = (self._turn + 1) % len(links)
            link = links[self._turn]
            if link.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
                return link
        self._turn = (self._turn + 1) % len(links)
        return links[self._turn]

    def renew(self) -> bool:
        """Read the files again; True: they had changed and are in use now. Raises CertificateError: nothing changed."""
        credentials = load_credentials(self._settings)
        if credentials == self.credentials:
            return False
        self.credentials = credentials
        old, self._links = self._links, self._connect()
        for link in old:
            link.retire()
        return True

    async def reachable(self) -> bool:
        """Whether at least one target takes a connection within CONNECT_TIMEOUT."""
        attempts = [asyncio.ensure_future(_connected(link.channel)) for link in self._links]
        try:
            for done in asyncio.as_completed(attempts):
                if await done:
                    return True
            return False
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)

    async def close(self) -> None:
        """Drop every connection, calls included."""
        for link in self._links:
            await link.channel.close()

    def _connect(self) -> list[Link]:
        return [
            Link(self._channel(target)) for _ in range(self._settings.connections) for target in self._settings.targets
        ]

    def _channel(self, target: str) -> grpc.aio.Channel:
        if self.credentials is None:
            return grpc.aio.insecure_channel(target, options=self._options)
        trust, identity = self.credentials.trust, self.credentials.identity
        credentials = grpc.ssl_channel_credentials(
            root_certificates=None if trust is None else trust.certificates,
            private_key=None if identity is None else identity.private_key,
            certificate_chain=None if identity is None else identity.certificate,
        )
        return grpc.aio.secure_channel(target, credentials, options=self._options)


async def _connected(channel: grpc.aio.Channel) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_TIMEOUT):
            while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(state)
            return True
    return False


def _options(settings: UpstreamSettings, max_response: int, user_agent: str) -> list[tuple[str, str | int]]:
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", user_agent),
        ("grpc.max_receive_message_length", max_response),
        ("grpc.max_send_message_length", -1),  # requests are measured where they come in
        # A reply's metadata; between its two defaults, 8 and 16 KiB, grpc-core refuses at random.
        ("grpc.max_metadata_size", 32 * 1024),
        ("grpc.absolute_max_metadata_size", 64 * 1024),
        ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),  # over all addresses of a name
        ("grpc.service_config_disable_resolution", 1),  # the file decides, not a TXT record
        ("grpc.enable_retries", 0),  # a call whose bytes may have reached a handler is never sent twice
        ("grpc.enable_http_proxy", 0),  # a backend is dialled directly, whatever the environment says
        ("grpc.use_local_subchannel_pool", 1),  # channels share no connection: `connections`, and renewed certificates
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 10_000),  # in spite of its name the time-out of one attempt to connect
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    if settings.keepalive is not None:
        options.append(("grpc.keepalive_time_ms", int(settings.keepalive * 1000)))
        options.append(("grpc.keepalive_timeout_ms", 10_000))
    if settings.tls is not None and settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
        options.append(("grpc.default_authority", settings.tls.server_name))
    return options
