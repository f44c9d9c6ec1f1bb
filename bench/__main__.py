"""The command: `python -m bench`, or `make bench`."""

import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import click

from bench import backend, load, machine, run
from bench.cases import CASES, Case
from bench.harness import Effort
from bench.process import BenchError
from bench.report import Report

RESULTS = Path(__file__).with_name("results")
FULL = Effort()
QUICK = Effort(rounds=1, seconds=1, warm_up=1)
QUICK_LIMIT = 40.0  # seconds after which nothing more is begun; what is under way takes some more
NO_LIMIT = float("inf")
FILE = click.Path(dir_okay=False, path_type=Path)


def _show(_ctx: click.Context, _parameter: click.Parameter, file: Path | None) -> Report | None:
    try:
        return Report.from_json(file.read_text("utf-8")) if file else None
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{file}: {error}") from None


def _chosen(_ctx: click.Context, _parameter: click.Parameter, patterns: Sequence[str]) -> list[Case]:
    """The cases that match, in the order of the table."""
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in CASES):
            raise click.BadParameter(f"there is no {pattern}; --list names them")
    return [case for case in CASES if any(fnmatchcase(case.name, pattern) for pattern in patterns)]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("chosen", metavar="[CASE]...", nargs=-1, callback=_chosen)
@click.option("--list", "list_cases", is_flag=True, help="Name the cases.")
@click.option("--quick", is_flag=True, help="One short round of some cases, within 60 s: shows that it works.")
@click.option("--rounds", type=click.IntRange(1), help=f"How often each case is measured.  [default: {FULL.rounds}]")
@click.option("--seconds", type=click.IntRange(1, 60), help=f"Of load in a round.  [default: {FULL.seconds}]")
@click.option("--json", "file", type=FILE, help="For all figures.  [default: bench/results/DATE.json; none if --quick]")
@click.option("--markdown", is_flag=True, help="Print the tables as Markdown.")
@click.option("--show", metavar="FILE", type=FILE, callback=_show, help="Print the tables of an earlier run's JSON.")
@click.option("--profile", is_flag=True, help="One round of one CASE, and where the gateway spends its time (py-spy).")
def main(
    *,
    chosen: list[Case],
    list_cases: bool,
    quick: bool,
    rounds: int | None,
    seconds: int | None,
    file: Path | None,
    markdown: bool,
    show: Report | None,
    profile: bool,
) -> None:
    """Measure what the gateway costs.

    CASE: names, or patterns like 'unary-*'; without any, all.
    """
    if list_cases:
        click.echo("\n".join(f"{case.name:16}{case.title}" for case in CASES))
        return
    if show is not None:
        click.echo(show.markdown() if markdown else show.text())
        return
    base = QUICK if quick else FULL
    effort = Effort(rounds or base.rounds, seconds or base.seconds, base.warm_up, base.streams)
    _prepare()
    try:
        if profile:
            click.echo(run.profile(_the_one(chosen), effort))
            return
        cases = chosen or [case for case in CASES if case.quick or not quick]
        report = run.measure(cases, effort, QUICK_LIMIT if quick else NO_LIMIT)
        if file is None and not quick:
            file = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M}.json"
        if file is not None:
            report.write(file)
            click.echo(f"written to {file}", err=True)
    except (BenchError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(report.markdown() if markdown else report.text())
    if report.failures:
        sys.exit(1)


def _prepare() -> None:
    """Say what is missing; raise ClickException if nothing can be measured."""
    if reason := machine.unsuitable():
        raise click.ClickException(reason)
    for found, missing in ((load.find_wrk(), load.MISSING), (backend.find_nghttpd(), backend.MISSING)):
        if found is None:
            click.echo(missing, err=True)
    # An exception, so that children are ended and the folder is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _the_one(chosen: Sequence[Case]) -> Case:
    under_load = [case for case in chosen if case.kind in ("calls", "stream")]
    if len(chosen) != 1 or not under_load:
        raise click.UsageError("--profile takes one CASE, and one that is not about memory or the start")
    return chosen[0]


if __name__ == "__main__":
    main(prog_name="python -m bench")
