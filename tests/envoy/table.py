"""The table of differences as Markdown, between two markers of envoy/README.md.

Rule: it is made from `differences` alone, by `python -m tests.envoy`; a test fails when the README has another. The
rows that matter stand open: what reaches a backend through one of the two alone, and where not both are right.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.protocol.status import Code
from tests.envoy.corpus import CORPUS, SECTIONS
from tests.envoy.differences import LET_THROUGH, TABLE
from tests.envoy.differences.row import Right, Row

README = Path(__file__).parents[2] / "envoy" / "README.md"
BEGIN, END = "<!-- differences -->", "<!-- /differences -->"
VERDICTS = {
    Right.GATEWAY: "the gateway is right",
    Right.ENVOY: "Envoy is right",
    Right.BOTH: "both are right",
    Right.NEITHER: "neither is right",
}
SPOKEN = (0, 1, 2, 3, 4, 7, 8, 12, 13, 14, 16)  # statuses that the rows name by number
HEAD = ("| | The gateway | Envoy | Who is right |", "|---|---|---|---|")


def markdown() -> str:
    return "\n".join(_lines()) + "\n"


def stale() -> bool:
    """Whether the README has another table."""
    text = README.read_text("utf-8")
    return text != renewed(text)


def renewed(text: str) -> str:
    """The text with the table of today. Raises ValueError when the markers are not there, once and in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{README} needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{markdown()}{END}{after}"


def _lines() -> Iterator[str]:
    rows = [row for each in TABLE.values() for row in each]
    counts = ", ".join(f"in {sum(row.right is right for row in rows)} {name}" for right, name in VERDICTS.items())
    yield (
        f"{len(CORPUS)} requests in {len(SECTIONS)} groups go through both, to the same backend, "
        f"{sum(case.is_http2 for case in CORPUS)} of them over HTTP/2. "
        f"Apart from these {len(rows)} differences both do the same: {counts}. Numbers alone are gRPC statuses: "
        f"{', '.join(f'{number} {Code(number).name}' for number in SPOKEN)}."
    )
    rest: list[Row] = []
    for heading, group in TABLE.items():
        shown = [row for row in group if heading in LET_THROUGH or row.right is not Right.BOTH]
        rest += [row for row in group if row not in shown]
        if shown:
            yield from ("", f"#### {heading}", "", *_table(shown))
    yield from ("", "<details>", f"<summary>{len(rest)} more, in which both are right</summary>", "")
    yield from (*_table(rest), "", "</details>")


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield from HEAD
    for row in rows:
        verdict = f"{VERDICTS[row.right].capitalize()} ({row.source}). {row.why}"
        cells = (row.what, row.gateway, row.envoy, verdict)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
