"""A report for people: tables as text or Markdown."""

from collections.abc import Callable, Iterator, Sequence

from bench.report import Report
from bench.result import COLUMNS, COMPARED, Result, Spread, subjects
from bench.targets import Verdict, verdicts

Row = list[str]

NONE = "-"
NO_FIGURE = (
    f"{NONE}, or [some of the rounds]: in the others the load, the backend or a neighbour on the machine was the "
    "bottleneck, not the subject (core busy). It could take more, and nobody knows what 70 % of that is."
)

TARGETS_RULE = "the median of the pairs (least to greatest), work only where both subjects' cores were full."


def text(report: Report) -> str:
    """For a terminal."""
    return "\n\n".join(_blocks(report, _aligned))


def markdown(report: Report) -> str:
    """The same as Markdown, for the section `Figures` of README.md."""
    return "\n\n".join(_blocks(report, _markdown))


def _blocks(report: Report, rendered: Callable[[Sequence[Row]], str]) -> Iterator[str]:
    rounds = report.effort["rounds"]
    if judged := verdicts(report.results, rounds):
        yield f"Targets: {TARGETS_RULE}"
        yield rendered(_targets(judged, rounds))
        yield from (f"{each.target.case}, {each.target.what}: {each.why}" for each in judged if each.why)
    if ratios := _ratios(report.results, rounds):
        yield "Gateway/Envoy, by pairs. For the gateway speaks more than 1 of work, and less than 1 of time and memory."
        yield rendered(ratios)
    yield from map(rendered, _figures(report.results, rounds))
    if any(result.incomplete for result in report.results):
        yield NO_FIGURE
    yield _provenance(report)
    yield from (*report.skipped, *report.failures)


def _targets(judged: Sequence[Verdict], rounds: int) -> list[Row]:
    rows = [
        [
            verdict.target.case,
            verdict.target.what,
            verdict.target.wanted,
            _spread(verdict.spread, verdict.target.decimals, rounds),
            verdict.word,
        ]
        for verdict in judged
    ]
    return [["case", "figure", "target", "measured", "verdict"], *rows]


def _ratios(results: Sequence[Result], rounds: int) -> list[Row]:
    """Empty if nothing was compared."""
    compared = {result.name: found for result in results if (found := result.compared())}
    names = [name for name in COMPARED if any(name in found for found in compared.values())]
    rows = [[case, *(_spread(found.get(name), 2, rounds) for name in names)] for case, found in compared.items()]
    return [["case", *names], *rows] if rows else []


def _figures(results: Sequence[Result], rounds: int) -> Iterator[list[Row]]:
    """For each kind that was measured: its heading and its rows."""
    for kind, columns in COLUMNS.items():
        rows = [
            [
                result.name,
                subject,
                *(
                    _spread(Spread.of(result.values(subject, column.figure)), column.decimals, rounds)
                    for column in columns
                ),
            ]
            for result in results
            if result.kind == kind
            for subject in subjects([result])
        ]
        if rows:
            yield [["case", "subject", *(column.heading for column in columns)], *rows]


def _provenance(report: Report) -> str:
    machine, effort = report.machine, report.effort
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['date']}, commit {machine['commit']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}, {versions}; {effort['rounds']} rounds of {effort['seconds']} s for each part, "
        "median (least to greatest)."
    )


def _spread(spread: Spread | None, decimals: int, rounds: int) -> str:
    """`median (least to greatest)`, or one number if they are the same; and of how many rounds, if not of all."""
    if spread is None:
        return NONE
    middle, least, greatest = (f"{value:,.{decimals}f}" for value in (spread.median, spread.least, spread.greatest))
    return (middle if least == greatest else f"{middle} ({least} to {greatest})") + spread.few(rounds)


def _aligned(table: Sequence[Row]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )
    return "\n".join(lines)


def _markdown(table: Sequence[Row]) -> str:
    heading, *rows = table
    rule = ["---", *("---:" for _ in heading[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, rule, *rows))
