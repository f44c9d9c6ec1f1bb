"""The command: `python -m bench`, or `make bench`."""

import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import click

from bench import backend, chart, machine, run, tables
from bench.cases import CASES, Case
from bench.harness import Effort
from bench.load import h2load, wrk
from bench.process import BenchError
from bench.report import Report
from bench.subject import ENVOY, GATEWAY, SUBJECTS, envoy

RESULTS = Path(__file__).with_name("results")
CHART = Path(__file__).parent.with_name("docs") / "bench.svg"
FULL = Effort()
QUICK = Effort(rounds=1, seconds=1, warm_up=1)
QUICK_LIMIT = 45.0  # seconds after which nothing more is begun; what is under way takes some more
NO_LIMIT = float("inf")
FILE = click.Path(dir_okay=False, path_type=Path)


def _show(_ctx: click.Context, _parameter: click.Parameter, file: Path | None) -> Report | None:
    try:
        return Report.from_json(file.read_text("utf-8")) if file else None
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{file}: {error}") from None


def _chosen(_ctx: click.Context, _parameter: click.Parameter, patterns: Sequence[str]) -> list[Case]:
    """The cases that match and what they need, in the order of the table."""
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in CASES):
            raise click.BadParameter(f"there is no {pattern}; --list names them")
    matching = [case for case in CASES if any(fnmatchcase(case.name, pattern) for pattern in patterns)]
    wanted = {name for case in matching for name in (case.name, case.after)}
    return [case for case in CASES if case.name in wanted]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("chosen", metavar="[CASE]...", nargs=-1, callback=_chosen)
@click.option("--list", "list_cases", is_flag=True, help="Name the cases.")
@click.option("--quick", is_flag=True, help="One short round of some cases, within 60 s: shows that it works.")
@click.option("--only", type=click.Choice(list(SUBJECTS)), help="Measure one of the two.")
@click.option("--rounds", type=click.IntRange(1), help=f"How many pairs of each case.  [default: {FULL.rounds}]")
@click.option("--seconds", type=click.IntRange(1, 60), help=f"Of load in each part.  [default: {FULL.seconds}]")
@click.option("--json", "file", type=FILE, help="For all figures.  [default: bench/results/DATE.json; none if --quick]")
@click.option("--chart", "picture", type=FILE, help="For the ratios, .svg or .png.  [default: docs/bench.svg if full]")
@click.option("--markdown", is_flag=True, help="Print the tables as Markdown.")
@click.option("--show", metavar="FILE", type=FILE, callback=_show, help="Print the tables of an earlier run's JSON.")
@click.option("--profile", is_flag=True, help="One round of one CASE, and where the gateway spends its time (py-spy).")
def main(
    *,
    chosen: list[Case],
    list_cases: bool,
    quick: bool,
    only: str | None,
    rounds: int | None,
    seconds: int | None,
    file: Path | None,
    picture: Path | None,
    markdown: bool,
    show: Report | None,
    profile: bool,
) -> None:
    """Measure the gateway beside Envoy: same policy, same backend, same load.

    CASE: names, or patterns like 'unary-*'; without any, all.
    """
    if list_cases:
        click.echo("\n".join(f"{case.name:16}{case.title}" for case in CASES))
        return
    try:
        if show is None:
            base = QUICK if quick else FULL
            effort = Effort(rounds or base.rounds, seconds or base.seconds, base.warm_up)
            subjects = _prepare(only)
            if profile:
                click.echo(run.profile(_the_one(chosen), effort))
                return
            show = run.measure(_cases(chosen, quick), subjects, effort, QUICK_LIMIT if quick else NO_LIMIT)
            full = not (chosen or quick or only)
            if file is None and not quick:
                file = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M}.json"
            if picture is None and full and ENVOY in subjects:
                picture = CHART
        _write(show, file, picture)
    except (BenchError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(tables.markdown(show) if markdown else tables.text(show))
    if show.failures:
        sys.exit(1)


def _write(report: Report, file: Path | None, picture: Path | None) -> None:
    """Raises BenchError, OSError."""
    if file is not None:
        report.write(file)
        click.echo(f"written to {file}", err=True)
    if picture is not None:
        chart.draw(report, picture)
        click.echo(f"drawn to {picture}", err=True)


def _prepare(only: str | None) -> list[str]:
    """The subjects that can be measured. Says what is missing; raises ClickException if nothing can be measured."""
    if reason := machine.unsuitable():
        raise click.ClickException(reason)
    subjects = [only] if only else list(SUBJECTS)
    if ENVOY in subjects and envoy.find() is None:
        if only:
            raise click.ClickException(envoy.MISSING)
        click.echo(f"{envoy.MISSING}; only the gateway is measured", err=True)
        subjects = [GATEWAY]
    tools = ((wrk.find, wrk.MISSING), (h2load.find, h2load.MISSING), (backend.find_nghttpd, backend.MISSING))
    for find, missing in tools:
        if find() is None:
            click.echo(missing, err=True)
    # An exception, so that children are ended and the folder is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return subjects


def _cases(chosen: list[Case], quick: bool) -> list[Case]:
    return chosen or [case for case in CASES if case.quick or not quick]


def _the_one(chosen: Sequence[Case]) -> Case:
    under_load = [case for case in chosen if case.kind in ("calls", "stream", "bulk")]
    if len(chosen) != 1 or not under_load:
        raise click.UsageError("--profile takes one CASE, and one that is not about memory or the start")
    return chosen[0]


if __name__ == "__main__":
    main(prog_name="python -m bench")
