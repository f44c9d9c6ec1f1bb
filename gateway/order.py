"""What a supervisor tells a worker at its start."""

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from gateway.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told at its start."""

    config: str
    index: int
    workers: int | None  # if the command line says how many
    sockets: list[list[int]]  # file descriptors, by listener
    line: int  # the file descriptor of its end
    debug: bool

    def text(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def read(cls, text: str) -> "Order":
        return cls(**orjson.loads(text))

    def settings(self) -> Settings:
        """As the file has them now. Raises SettingsError."""
        settings = load(Path(self.config))
        return settings if self.workers is None else settings.model_copy(update={"workers": self.workers})
