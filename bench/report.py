"""A run: its figures and where they come from, as JSON and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.result import COLUMNS, Result, Spread
from bench.targets import verdicts


@dataclass(frozen=True, slots=True)
class Report:
    """A run. `machine`: what it ran on (machine.py)."""

    machine: Mapping[str, Any]
    effort: Mapping[str, int]
    results: Sequence[Result]

    def to_json(self) -> str:
        content = asdict(self)
        for result, described in zip(self.results, content["results"], strict=True):
            described["ratios"] = {
                column.figure: {"pairs": values, **asdict(spread)}
                for column in COLUMNS[result.kind]
                if column.compared and (spread := Spread.of(values := result.ratios(column.figure)))
            }
        content["targets"] = [verdict.to_json() for verdict in verdicts(self.results, self.effort["rounds"])]
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Raises ValueError when it is not one."""
        try:
            content = json.loads(text)
            results = [_without(result, "ratios") for result in content["results"]]  # they follow from the pairs
            return cls(content["machine"], content["effort"], [Result(**result) for result in results])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a report: {error}") from None

    def write(self, path: Path) -> None:
        """As JSON. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json(), "utf-8")

    @property
    def failures(self) -> list[str]:
        """A line for each subject without all its rounds."""
        return [f"{result.name}, {subject}: {why}" for result in self.results for subject, why in result.errors.items()]

    @property
    def skipped(self) -> list[str]:
        return [f"{result.name}: {result.skipped}" for result in self.results if result.skipped]


def _without(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}
