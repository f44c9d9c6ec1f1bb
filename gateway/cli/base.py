"""What all commands share: options, and how each way of ending becomes one line and an exit code."""

import contextlib
import shlex
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

if TYPE_CHECKING:
    from gateway.settings import Problem

P = ParamSpec("P")

PROGRAM = "grpcweb-gateway"
DEFAULT_FILE = Path("gateway.yaml")
FINE, REFUSED, USAGE, NOT_STARTED, INTERRUPTED = 0, 1, 2, 3, 130


class Misused(click.UsageError):
    """Wrong usage of which it is known what was meant."""

    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class NotStarted(click.ClickException):
    """The gateway could not bind or start; one line says why."""


def _configuration(ctx: click.Context, _parameter: click.Parameter, given: Path | None) -> Path:
    if given is None and not DEFAULT_FILE.exists():
        raise click.UsageError(f"no configuration: name one with -c FILE, there is no ./{DEFAULT_FILE}", ctx)
    return given or DEFAULT_FILE


def _stray(ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> None:
    if given:
        hint = f"{ctx.command_path} -c {shlex.quote(given[0])}"
        raise Misused(f"unexpected {' '.join(given)}: a configuration is named with -c", hint, ctx)


def config_option(command: Callable[P, None]) -> Callable[P, None]:
    """`-c FILE`, and a word to those who leave out the -c."""
    option = click.option(
        "-c",
        "--config",
        type=click.Path(readable=False, path_type=Path),  # reading it tells more
        envvar="GATEWAY_CONFIG",
        callback=_configuration,
        help="The configuration.  [default: $GATEWAY_CONFIG, or ./gateway.yaml]",
    )
    stray = click.argument("stray", nargs=-1, metavar="", expose_value=False, is_eager=True, callback=_stray)
    return option(stray(command))


debug_option = click.option("--debug", is_flag=True, help="Show tracebacks, and log everything.")
PORT = click.IntRange(0, 65535)


@contextlib.contextmanager
def answering(debug: bool) -> Iterator[None]:
    """Every way a command can end, as one line and an exit code."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit):
        raise
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except Exception as error:
        from gateway.settings import SettingsError

        _trace(debug)
        if isinstance(error, SettingsError):
            tell(error.problems)
            raise click.exceptions.Exit(REFUSED) from None
        say(f"internal error: {type(error).__name__} (hint: --debug shows where)")  # its text may hold anything
        raise click.exceptions.Exit(NOT_STARTED) from None


@contextlib.contextmanager
def starting(debug: bool) -> Iterator[None]:
    """A gateway that cannot start on this machine, inside `answering`."""
    from gateway.check import all_problems
    from gateway.errors import StartError
    from gateway.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        raise SettingsError(all_problems(error)) from error
    except StartError as error:
        _trace(debug)
        raise NotStarted(str(error)) from None


@contextlib.contextmanager
def naming_options(options: Mapping[str, str]) -> Iterator[None]:
    """Problems with keys that nobody wrote are told of the options that stand for them, inside `starting`."""
    from gateway.errors import StartError
    from gateway.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        problems = [replace(problem, key=options.get(problem.key, problem.key)) for problem in error.problems]
        raise SettingsError(problems) from error
    except StartError as error:
        key, colon, reason = str(error).partition(": ")
        raise StartError(f"{options.get(key, key)}{colon}{reason}") from error


def _trace(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def tell(problems: "Sequence[Problem]") -> None:
    for problem in problems:
        if problem.file:
            click.echo(problem, err=True)
        else:
            say(str(problem))


def say(message: str) -> None:
    click.echo(f"{PROGRAM}: {message}".replace("\n", " "), err=True)
