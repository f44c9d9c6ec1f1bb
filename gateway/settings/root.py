"""The whole file."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PrivateAttr

from gateway.settings.auth import Auth
from gateway.settings.authorization import Authorization
from gateway.settings.cors import Cors
from gateway.settings.kind import REDACTED, Text, refuse
from gateway.settings.kind import Source as _Source
from gateway.settings.limits import Limits
from gateway.settings.listener import Admin, Listener
from gateway.settings.model import Section
from gateway.settings.observability import Observability
from gateway.settings.problem import Finding, Key, Places, Problem
from gateway.settings.quantity import Count, Duration
from gateway.settings.upstream import Upstream

UPSTREAM_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

_USER_INFO = re.compile(r"(?<=://)[^/?#@\s]*@")
_QUERY = re.compile(r"(?<=://)([^?\s]*\?)\S+")


def _read_upstream_name(text: str, _source: _Source) -> str:
    if not re.fullmatch(UPSTREAM_PATTERN, text):
        refuse("the name of an upstream must be of letters, digits, _ and -, at most 64")
    return text


class Settings(Section):
    """The configuration of one gateway."""

    listeners: Annotated[tuple[Listener, ...], Field(min_length=1)]
    """Where browsers are served."""
    admin: Admin | None = Admin()
    """The operator's pages; null for none."""
    cors: Cors = Cors()
    """Which web pages may call."""
    auth: Auth = Auth()
    """Who calls, by which tokens."""
    authorization: Authorization = Authorization()
    """Who may call what."""
    upstreams: Annotated[
        Mapping[Annotated[str, Text(_read_upstream_name, UPSTREAM_PATTERN)], Upstream], Field(min_length=1)
    ]
    """The backends, by a name for logs and metrics."""
    limits: Limits = Limits()
    """How much may be asked for."""
    observability: Observability = Observability()
    """What operators see."""
    workers: Annotated[int, Count(maximum=256)] = 1
    """Processes sharing the listeners."""
    drain: Annotated[float, Duration(minimum=0.0, maximum=3600.0)] = 15.0
    """How long calls in flight may go on after a signal to stop."""

    _places: Places = PrivateAttr(default_factory=Places)

    def remember(self, places: Places) -> None:
        """Where its keys were read, for `problem`."""
        self._places = places

    def problem(self, key: Key, message: str, hint: str | None = None) -> Problem:
        """A problem with a key of this file, for what is judged later (certificates, keys, backends)."""
        return self._places.problem(Finding(key, message, hint))

    def redacted(self) -> dict[str, Any]:
        """All of it as JSON, as people write it, without secrets: fit for /config."""
        shown = _without_secrets(self.model_dump(mode="json"))
        assert isinstance(shown, dict)
        return shown


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if isinstance(value, str):
        return _QUERY.sub(rf"\1{REDACTED}", _USER_INFO.sub(f"{REDACTED}@", value))
    return value
