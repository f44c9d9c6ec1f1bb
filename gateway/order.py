"""What a supervisor tells a worker at its start, and the configuration by which that one serves.

Rules
- An order is an argument of a process, which everybody on the machine can see. A configuration may hold secrets, so it
  goes over the line (control.py).
- A worker starts by the configuration that is in use, not by the file: that may be a bad one, which the others have
  refused. It follows the file from then on, as they do.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import yaml

from gateway.errors import StartError
from gateway.settings import Settings, load, parse
from gateway.settings.document import read


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told at its start."""

    config: str
    index: int
    workers: int | None  # if the command line says how many
    addresses: list[str]  # as the configuration had them at the start
    sockets: list[list[int]]  # file descriptors, by listener
    line: int  # the file descriptor of its end
    debug: bool

    def text(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def read(cls, text: str) -> "Order":
        return cls(**orjson.loads(text))


class Configuration:
    """As a text, which says the same when it is read again: the environment of all workers is one."""

    def __init__(self, order: Order, in_use: str | None) -> None:
        """`in_use`: by the other workers; None: there is none that is known to be good, so the file has to do."""
        self._order = order
        self._path = Path(order.config)
        self.text = in_use  # by which this worker serves; None until it has read the file
        self._last_read = ""

    def at_start(self) -> Settings:
        """Raises SettingsError; StartError if the file has other listeners than there are sockets for."""
        if self.text is not None:
            return self._settings(self.text, f"{self._path} (as it was when it was last good)")
        settings = self.from_file()
        if [str(listener.bind) for listener in settings.listeners] != self._order.addresses:
            raise StartError(f"{self._path}: listeners: the addresses are not those of the start: restart the gateway")
        self.text = self._last_read
        return settings

    def from_file(self) -> Settings:
        """As the file is now. Raises SettingsError."""
        self._last_read = _content(self._path)
        return self._settings(self._last_read, str(self._path))

    def follow(self, kept: Collection[str]) -> None:
        """What was read from the file last is in use, save the sections `kept`, which are as they were."""
        assert self.text is not None
        self.text = _with_sections(self._last_read, kept, self.text)

    def _settings(self, text: str, name: str) -> Settings:
        settings = parse(text, self._path.absolute().parent, name=name)
        workers = self._order.workers
        return settings if workers is None else settings.model_copy(update={"workers": workers})


def _content(path: Path) -> str:
    """Raises SettingsError."""
    while True:
        try:
            return path.read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            load(path)  # says what is wrong, unless it has been mended since


def _with_sections(text: str, kept: Collection[str], before: str) -> str:
    """`text`, with the sections `kept` as `before` has them, or has not."""
    if not kept:
        return text
    sections, old = (read(each, "").data for each in (text, before))
    others = {name: section for name, section in sections.items() if name not in kept}
    return yaml.safe_dump(others | {name: old[name] for name in kept if name in old})
