"""The grpcio channels of one upstream: made from certificate files, swapped when those are renewed.

Rules
- A channel's certificate never changes (grpcio): renewed files mean new channels. New calls take the new ones at once,
  calls in flight finish on the old ones, which close with their last call.
- A pair that is not good is not used: the old channels stay, and the caller raises the alarm.
- A call enters its channel in the turn of the loop that takes it, so no call starts on a channel that is being closed.
- A channel has one target. A call that grpc-core could give to no connection of its channel was never sent, and may go
  to another one (`unreached`).
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Container, Iterator
from typing import Any
from urllib.parse import unquote

import grpc

from gateway.settings import Upstream as UpstreamSettings
from gateway.settings.target import needs_grpcio
from gateway.upstream import resolver, retries
from gateway.upstream.base import REACHABLE_TIMEOUT, AddressState
from gateway.upstream.credentials import load_credentials

# round_robin of grpc-core, of a call for which it has no connection: the last address that failed, and why.
NO_CONNECTION = re.compile(r"connections to all backends failing; last error: (?:[A-Z_]+: )?(?:ipv[46]:)?(\S+): ")


class Channel:
    """One of grpcio's, and how many calls are on it."""

    __slots__ = ("_methods", "_retired", "aio", "calls", "closed", "target")

    def __init__(self, aio: grpc.aio.Channel, target: str) -> None:
        self.aio = aio
        self.target = target
        self.calls = 0
        self.closed = False
        self._retired = False
        self._methods: dict[str, Any] = {}

    def unary(self, path: str) -> Any:
        """The multi-callable of a method that descriptors call unary; there are as many as they name."""
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self.aio.unary_unary(path)
        return method

    async def unreached(self, details: str) -> bool:
        """Whether a call that failed with UNAVAILABLE and `details` was given to no connection, and so never sent.

        grpc.aio shows no more of that than words, and a backend may pass on what its own grpc-core says of the backends
        behind it: so the address that they name has to be one of this target.
        """
        said = NO_CONNECTION.match(details)
        if said is None or needs_grpcio(self.target):
            return False
        with contextlib.suppress(OSError):
            return unquote(said[1]) in map(str, await resolver.resolve(resolver.parse(self.target)))
        return False

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
        task = asyncio.get_running_loop().create_task(self.aio.close())
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
        self._channels = self._connect()
        self._retired: list[Channel] = []  # with calls, perhaps
        self._turn = 0

    def take(self) -> Channel:
        """The next channel in turn; one without a connection is passed over while another has one."""
        channels = self._channels
        if len(channels) == 1:
            return channels[0]
        return self.another(()) or self._next()

    def another(self, tried: Container[Channel]) -> Channel | None:
        """The next in turn that has a connection and is none of these."""
        for _ in self._channels:
            channel = self._next()
            state = channel.aio.get_state(try_to_connect=True)  # 0.3 us
            if state is grpc.ChannelConnectivity.READY and channel not in tried:
                return channel
        return None

    def _next(self) -> Channel:
        self._turn = (self._turn + 1) % len(self._channels)
        return self._channels[self._turn]

    def renew(self) -> bool:
        """Read the files again; True: they had changed and are in use now. Raises CertificateError: nothing changed."""
        credentials = load_credentials(self._settings)
        if credentials == self.credentials:
            return False
        self.credentials = credentials
        old, self._channels = self._channels, self._connect()
        for channel in old:
            channel.retire()
        self._retired = [channel for channel in (*self._retired, *old) if not channel.closed]
        return True

    @property
    def calls(self) -> int:
        """Going on."""
        return sum(channel.calls for channel in (*self._channels, *self._retired))

    def states(self) -> Iterator[AddressState]:
        """How each target is, as far as grpcio tells; who looks has those that had nothing to do connect again."""
        for target in self._settings.targets:
            channels = [channel for channel in self._channels if channel.target == target]
            yield AddressState(target, any(map(_is_ready, channels)), ejected=False)

    def connect(self) -> None:
        """Without waiting for the first call."""
        for channel in self._channels:
            channel.aio.get_state(try_to_connect=True)

    async def reachable(self) -> bool:
        """Whether at least one target takes a connection within REACHABLE_TIMEOUT."""
        attempts = [asyncio.ensure_future(_connected(channel.aio)) for channel in self._channels]
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
        for channel in (*self._channels, *self._retired):
            await channel.aio.close()

    def _connect(self) -> list[Channel]:
        targets = self._settings.targets
        return [
            Channel(self._channel_to(target), target) for _ in range(self._settings.connections) for target in targets
        ]

    def _channel_to(self, target: str) -> grpc.aio.Channel:
        if self.credentials is None:
            return grpc.aio.insecure_channel(target, options=self._options)
        trust, identity = self.credentials.trust, self.credentials.identity
        credentials = grpc.ssl_channel_credentials(
            root_certificates=None if trust is None else trust.certificates,
            private_key=None if identity is None else identity.private_key,
            certificate_chain=None if identity is None else identity.certificate,
        )
        return grpc.aio.secure_channel(target, credentials, options=self._options)


def _is_ready(channel: Channel) -> bool:
    return channel.aio.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY


async def _connected(channel: grpc.aio.Channel) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REACHABLE_TIMEOUT):
            while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(state)
            return True
    return False


def _service_config(settings: UpstreamSettings) -> dict[str, Any]:
    """What grpc-core has of its own for an upstream's keys (gRPC Service Config)."""
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}  # over all addresses of a name
    if settings.health_check:
        config["healthCheckConfig"] = {"serviceName": ""}
    if settings.idempotent_methods:
        policy = {
            "maxAttempts": retries.ATTEMPTS,
            "initialBackoff": f"{retries.FIRST}s",
            "backoffMultiplier": retries.GROWTH,
            "maxBackoff": f"{retries.MOST}s",
            "retryableStatusCodes": [code.name for code in retries.RETRYABLE],
        }
        names = [_name(method) for method in settings.idempotent_methods]
        config["methodConfig"] = [{"name": names, "retryPolicy": policy}]
        # grpc-core stops below half of its tokens, of which a failure takes one.
        config["retryThrottling"] = {"maxTokens": 1000, "tokenRatio": retries.RATIO}
    return config


def _name(method: str) -> dict[str, str]:
    _, service, name = method.split("/")
    return {"service": service} if name == "*" else {"service": service, "method": name}


def _options(settings: UpstreamSettings, max_response: int, user_agent: str) -> list[tuple[str, str | int]]:
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", user_agent),
        ("grpc.max_receive_message_length", max_response),
        ("grpc.max_send_message_length", -1),  # requests are measured where they come in
        # A reply's metadata; between its two defaults, 8 and 16 KiB, grpc-core refuses at random.
        ("grpc.max_metadata_size", 32 * 1024),
        ("grpc.absolute_max_metadata_size", 64 * 1024),
        ("grpc.service_config", json.dumps(_service_config(settings))),
        ("grpc.service_config_disable_resolution", 1),  # the file decides, not a TXT record
        # A call whose bytes may have reached a handler is sent again only if its method is idempotent.
        ("grpc.enable_retries", int(bool(settings.idempotent_methods))),
        ("grpc.enable_http_proxy", 0),  # a backend is dialled directly, whatever the environment says
        ("grpc.use_local_subchannel_pool", 1),  # channels share no connection: `connections`, and renewed certificates
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 10_000),  # in spite of its name the time-out of one attempt to connect
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    if settings.keepalive is not None:
        options.append(("grpc.keepalive_time_ms", int(settings.keepalive * 1000)))
        options.append(("grpc.keepalive_timeout_ms", 10_000))
        options.append(("grpc.http2.ping_timeout_ms", 10_000))  # else a minute, whatever the former says
    if settings.tls is not None and settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
        options.append(("grpc.default_authority", settings.tls.server_name))
    return options
