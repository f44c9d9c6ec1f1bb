"""How far a run is: a line with time and bar on a terminal's stderr; elsewhere a line for each step."""

import sys
import time

import click

WIDTH = 24  # characters of the bar


class Progress:
    """Of a number of steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._begun = 0
        self._since = time.monotonic()
        self._redraws = sys.stderr.isatty()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since

    def step(self, name: str) -> None:
        """`name` begins, and what began before is done."""
        filled = WIDTH * self._begun // self._steps
        bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}]"
        left = self.seconds / self._begun * (self._steps - self._begun) if self._begun else 0.0
        words = f"{name}, {_clock(left)} to go" if left else name
        self._say(f"{_clock(self.seconds)} {bar} {self._begun}/{self._steps} {words}", last=False)
        self._begun += 1

    def end(self) -> None:
        self._say(f"{self.seconds:.0f} s", last=True)

    def _say(self, text: str, *, last: bool) -> None:
        click.echo(f"\r\033[K{text}" if self._redraws else text, nl=last or not self._redraws, err=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
