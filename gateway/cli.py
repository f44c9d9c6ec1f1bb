"""The command line.

Rule: an error is one line on stderr, and the exit code says whose it is: 0 fine, 1 the configuration or the check
failed, 2 wrong usage, 3 could not bind or start. A traceback is shown with --debug only.

Commands import what they need when they run: `--help` is quick, and `schema` and `check` start no event loop in vain.
"""

import contextlib
import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.settings import Problem

PROGRAM = "grpcweb-gateway"
DEFAULT_FILE = Path("gateway.yaml")

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}
FINE, REFUSED, USAGE, NOT_STARTED, INTERRUPTED = 0, 1, 2, 3, 130


class NotStarted(click.ClickException):
    """The gateway could not bind or start; one line says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # grpc-core's own lines; what matters of them is an event of ours
    try:
        code = commands.main(arguments, PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return USAGE
    except click.UsageError as error:
        _say(f"{error.format_message()} (hint: {error.ctx.command_path if error.ctx else PROGRAM} --help)")
        return USAGE
    except NotStarted as error:
        _say(error.message)
        return NOT_STARTED
    except click.ClickException as error:
        _say(error.format_message())
        return REFUSED
    except click.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else FINE


class _InOrder(click.Group):
    def list_commands(self, _ctx: click.Context, /) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings=CONTEXT)
@click.version_option(package_name=PROGRAM, prog_name=PROGRAM, message="%(prog)s %(version)s")
def commands() -> None:
    """A gRPC-Web gateway: browsers in front, native gRPC over mutual TLS behind.

    Try it with "grpcweb-gateway demo". Write gateway.yaml after gateway.example.yaml, judge it with "check", run it
    with "serve".
    """


def _configuration(ctx: click.Context, _parameter: click.Parameter, given: Path | None) -> Path:
    if given is None and not DEFAULT_FILE.exists():
        raise click.UsageError(f"no configuration: name one with -c FILE, there is no ./{DEFAULT_FILE}", ctx)
    return given or DEFAULT_FILE


config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    callback=_configuration,
    help="The configuration.  [default: $GATEWAY_CONFIG, or ./gateway.yaml]",
)
debug_option = click.option("--debug", is_flag=True, help="Show tracebacks, and log everything.")
PORT = click.IntRange(0, 65535)


def _one_worker(_ctx: click.Context, _parameter: click.Parameter, workers: int | None) -> int | None:
    if workers not in (None, 1):
        raise click.BadParameter("more than one is not supported yet")
    return workers


@commands.command()
@config_option
@click.option(
    "--workers",
    type=click.IntRange(1),
    expose_value=False,
    callback=_one_worker,
    help="Processes sharing the listeners; more than one is not supported yet.",
)
@debug_option
def serve(config: Path, debug: bool) -> None:
    """Run the gateway.

    Until SIGTERM or Ctrl-C; then calls in flight may finish.
    """
    with _answering(debug):
        from gateway.settings import load

        settings = load(config)
        with _starting(debug):
            from gateway import run

            run.serve(settings, debug=debug)


@commands.command()
@config_option
@click.option("--offline", is_flag=True, help="Do not ask issuers and backends whether they are there.")
@debug_option
def check(config: Path, offline: bool, debug: bool) -> None:
    """Judge a configuration.

    Everything that a start would find, save ports in use, and whether issuers and backends are there.
    """
    with _answering(debug):
        from gateway.observe import log

        log.configure(console=True, level="critical")  # what is wrong is told as a problem, not as an event
        problems = _problems_of(config, offline=offline)
        _tell(problems)
        if problems:
            click.echo(f"{config}: {len(problems)} problem{'s' if len(problems) > 1 else ''}", err=True)
            raise click.exceptions.Exit(REFUSED)
        click.echo(f"{config}: fine")


def _problems_of(config: Path, *, offline: bool) -> "list[Problem]":
    from gateway.settings import SettingsError, load

    try:
        settings = load(config)
    except SettingsError as error:
        if error.partial is None:
            return error.problems
        from gateway import check as checks

        # A wrong key is no reason to be silent about the certificates that the rest names.
        further = checks.run(error.partial, offline=True)
        certain = [problem for problem in further if not error.doubts(problem.key)]
        return sorted([*error.problems, *certain], key=lambda problem: problem.line or 0)
    from gateway import check as checks

    return checks.run(settings, offline=offline)


@commands.command()
@click.option("--http-port", type=PORT, metavar="PORT", default=8080, help="The sample page, and calls in plaintext.")
@click.option("--https-port", type=PORT, metavar="PORT", default=8443, help="The same over TLS.")
@click.option("--issuer-port", type=PORT, metavar="PORT", default=8081, help="The OAuth2 issuer.")
@debug_option
def demo(http_port: int, https_port: int, issuer_port: int, debug: bool) -> None:
    """Show it all, on this machine.

    With an mTLS backend, an OAuth2 issuer and a page that calls.
    """
    with _answering(debug), _starting(debug):
        from gateway import run

        run.demo(http_port, https_port, issuer_port, debug=debug)


def _loopback_only(_ctx: click.Context, _parameter: click.Parameter, host: str) -> str:
    from gateway.settings import Address

    if not Address(host, 0).is_loopback:
        message = f"{host} is open to other machines, and dev asks nobody for a token: it listens on this one only"
        raise click.UsageError(f'{message}; "serve" with a gateway.yaml is for others')
    return host


def _target(_ctx: click.Context, _parameter: click.Parameter, text: str) -> str:
    from gateway.settings.address import parse_address

    try:
        return str(parse_address(text, lowest_port=1))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


PEM = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)


@commands.command()
@click.argument("target", metavar="HOST:PORT", callback=_target)
@click.option("--port", type=PORT, metavar="PORT", default=8080, help="Where browsers call, on this machine only.")
@click.option("--host", default="127.0.0.1", hidden=True, expose_value=False, callback=_loopback_only)
@click.option("--plaintext/--tls", default=None, help="How to speak to the backend.  [default: --plaintext]")
@click.option("--ca", type=PEM, help="PEM: who signs the backend's certificate (means --tls).")
@click.option("--cert", type=PEM, help="PEM: a client certificate (means --tls).")
@click.option("--key", type=PEM, help="PEM: its private key.")
@click.option("--server-name", help="The name in the backend's certificate (means --tls).")
@debug_option
@click.pass_context
def dev(
    ctx: click.Context,
    *,
    target: str,
    port: int,
    plaintext: bool | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    server_name: str | None,
    debug: bool,
) -> None:
    """Put local browsers through to one backend.

    For any page of this machine, without tokens or rules.
    """
    wants_tls = [name for name, value in {"--ca": ca, "--cert": cert, "--server-name": server_name}.items() if value]
    if plaintext and wants_tls:
        ctx.fail(f"{wants_tls[0]} needs TLS: remove --plaintext")
    if (cert is None) != (key is None):
        ctx.fail("--cert and --key go together")
    with _answering(debug), _starting(debug):
        from gateway import run

        run.dev(
            target,
            port,
            plaintext=not wants_tls if plaintext is None else plaintext,
            ca=ca,
            certificate=cert,
            private_key=key,
            server_name=server_name,
            debug=debug,
        )


@commands.command()
@config_option
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, in place of stdout.")
@click.option("--base", metavar="DIR", help="Where Envoy will find the folder of the configuration, if elsewhere.")
@click.option("--offline", is_flag=True, help="Do not ask issuers where their keys are.")
@click.option("--strict", is_flag=True, help="Refuse what Envoy does otherwise, too.")
@click.option("--validate", is_flag=True, help="Ask Envoy about the result (needs the extra: envoy).")
@debug_option
@click.pass_context
def envoy(
    ctx: click.Context,
    *,
    config: Path,
    output: Path | None,
    base: str | None,
    offline: bool,
    strict: bool,
    validate: bool,
    debug: bool,
) -> None:
    """Print the same policy as an Envoy configuration.

    What Envoy does otherwise is told on stderr and at the top of the result; what it cannot do is an error. With -o,
    renewed certificates take effect: SDS files are written beside FILE.
    """
    if validate and base is not None:
        ctx.fail("--validate looks for files where Envoy will: leave out --base")
    with _answering(debug):
        from gateway.envoy.output import Request, rendered, write

        request = Request(config, output, base, offline)
        rendering = rendered(request)
        _tell(rendering.warnings)
        if strict and rendering.warnings:
            count = len(rendering.warnings)
            click.echo(
                f"{config}: {count} key{'s' if count > 1 else ''} that Envoy takes otherwise (--strict)", err=True
            )
            raise click.exceptions.Exit(REFUSED)
        try:
            if output is None:
                click.echo(rendering.text, nl=False)
            else:
                click.echo("".join(f"{path}\n" for path in write(request, rendering)), nl=False)
        except OSError as error:
            raise click.FileError(str(error.filename or output), error.strerror or str(error)) from None
        if validate:
            _validated(rendering.text, output)


def _validated(text: str, written: Path | None) -> None:
    import tempfile

    from gateway.envoy.validate import EnvoyMissingError, validate

    with tempfile.TemporaryDirectory(prefix=f"{PROGRAM}-") as folder:
        path = written or Path(folder, "envoy.yaml")
        if written is None:
            path.write_text(text, "utf-8")
        try:
            objection = validate(path)
        except EnvoyMissingError as error:
            raise click.ClickException(str(error)) from None
    if objection is not None:
        raise click.ClickException(f"Envoy refuses it: {objection}")
    click.echo("Envoy takes it.", err=True)


@commands.command()
def schema() -> None:
    """Print the configuration's JSON Schema, for editors."""
    import json

    from gateway.settings import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@contextlib.contextmanager
def _answering(debug: bool) -> Iterator[None]:
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
            _tell(error.problems)
            raise click.exceptions.Exit(REFUSED) from None
        _say(f"internal error: {type(error).__name__} (hint: --debug shows where)")  # its text may hold anything
        raise click.exceptions.Exit(NOT_STARTED) from None


@contextlib.contextmanager
def _starting(debug: bool) -> Iterator[None]:
    """A gateway that cannot start on this machine, inside `_answering`."""
    from gateway.app import StartError

    try:
        yield
    except StartError as error:
        _trace(debug)
        raise NotStarted(str(error)) from None


def _trace(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _tell(problems: "Sequence[Problem]") -> None:
    for problem in problems:
        if problem.file:
            click.echo(problem, err=True)
        else:
            _say(str(problem))


def _say(message: str) -> None:
    click.echo(f"{PROGRAM}: {message}".replace("\n", " "), err=True)
