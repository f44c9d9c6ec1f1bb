"""The command: `python -m soak`, or `make soak`. It ends with 0 if all is as it has to be, with 1 if not."""

import asyncio
import random
import signal
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from bench import machine
from soak import chart
from soak.replica import SoakError
from soak.report import Report
from soak.run import Options, run

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("results")
CHART = ROOT / "docs" / "soak.svg"
FULL = 600
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--seconds", type=click.IntRange(30, 3600), default=FULL, show_default=True, help="Of the whole run.")
@click.option("--rate", type=click.FloatRange(1, 500), default=20.0, show_default=True, help="Calls a second.")
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Of the gateway.")
@click.option("--seed", type=int, help="For all that is random in the calls.  [default: another each time, told]")
@click.option("--json", "file", type=FILE, help="For all figures.  [default: soak/results/DATE.json if full]")
@click.option("--chart", "picture", type=FILE, help="For all curves, .svg or .png.  [default: docs/soak.svg if full]")
@click.option("--log", type=FILE, help="For the gateway's log.")
@click.option(
    "--tree", type=click.Path(exists=True, file_okay=False, path_type=Path), default=ROOT,
    help="Another checkout, whose gateway/ is to run.",
)  # fmt: skip
def main(
    *,
    seconds: int,
    rate: float,
    workers: int,
    seed: int | None,
    file: Path | None,
    picture: Path | None,
    tree: Path,
    log: Path | None,
) -> None:
    """Call a gateway while all around it changes, and judge what is left of it."""
    if reason := machine.unsuitable():
        raise click.ClickException(reason)
    seed = random.randrange(1_000_000) if seed is None else seed  # noqa: S311 - no secret
    options = Options(seconds, rate, workers, seed, tree.resolve(), log)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(_until_told(run(options, lambda text: click.echo(text, err=True))))
        if seconds >= FULL and tree == ROOT:
            file = file or RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M}.json"
            picture = picture or CHART
        if file is not None:
            report.write(file)
        if picture is not None:
            chart.draw(report, picture)
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    except (SoakError, ImportError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(report.text())
    if not report.passed:
        sys.exit(1)


async def _until_told(running: Coroutine[None, None, Report]) -> Report:
    """SIGTERM cancels it, so that children are ended and the folder is removed; Ctrl-C does so by itself."""
    task = asyncio.ensure_future(running)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


if __name__ == "__main__":
    main()
