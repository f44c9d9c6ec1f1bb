"""A run for people, as text, and for programs, as JSON: where and how, all samples, what was judged."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from soak.verdict import Check, Run, judge

WIDTHS = (22, 44, 14)  # of a table's columns


@dataclass(frozen=True, slots=True)
class Report:
    machine: Mapping[str, object]
    options: Mapping[str, object]
    marks: Sequence[tuple[float, str]]  # seconds and what happened then
    run: Run

    @property
    def checks(self) -> list[Check]:
        return judge(self.run)

    @property
    def passed(self) -> bool:
        return all(check.met is not False for check in self.checks)

    def text(self) -> str:
        run = self.run
        lines = [
            f"{run.right} calls had their right answer, {run.given_up} were given up, "
            f"{run.excused} lost their backend and say so.",
            "",
            *(_row(check.name, check.figure, check.bound, _verdict(check)) for check in self.checks),
        ]
        for title, details in (
            ("Lost calls", [f"{count} x {name}" for name, count in run.failures.items()]),
            ("Changes that failed", run.changes_failed),
            ("The gateway's log", run.errors),
        ):
            if details:
                lines += ["", f"{title}:", *(f"  {detail}" for detail in details[:20])]
        return "\n".join([*lines, "", "passed" if self.passed else "FAILED"])

    def write(self, file: Path) -> None:
        """Raises OSError."""
        checks = [asdict(check) for check in self.checks]
        content = asdict(self) | {"checks": checks, "passed": self.passed}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _row(*cells: str) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, (*WIDTHS, 0), strict=True)).rstrip()


def _verdict(check: Check) -> str:
    return {True: "met", False: "MISSED", None: "not judged"}[check.met]
