"""Commands about a configuration: `check`, `envoy`, `schema`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.base import PROGRAM, REFUSED, answering, config_option, debug_option, tell

if TYPE_CHECKING:
    from gateway.settings import Problem


@click.command()
@config_option
@click.option("--offline", is_flag=True, help="Do not ask issuers and backends whether they are there.")
@debug_option
def check(config: Path, offline: bool, debug: bool) -> None:
    """Judge a configuration.

    Everything that a start would find, save ports in use, and whether issuers and backends are there.
    """
    with answering(debug):
        from gateway.observe import log

        log.configure(console=True, level="critical")  # what is wrong is told as a problem, not as an event
        problems = _problems_of(config, offline=offline)
        tell(problems)
        if problems:
            click.echo(f"{config}: {len(problems)} problem{'s' if len(problems) > 1 else ''}", err=True)
            raise click.exceptions.Exit(REFUSED)
    click.echo(f"{config}: fine")


def _problems_of(config: Path, *, offline: bool) -> "list[Problem]":
    from gateway import check as checks
    from gateway.settings import SettingsError, load

    try:
        return checks.run(load(config), offline=offline)
    except SettingsError as error:
        return checks.all_problems(error)


@click.command()
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
    with answering(debug):
        import asyncio

        from gateway import check as checks
        from gateway.envoy.output import Request, rendering_of, write
        from gateway.settings import SettingsError, load

        settings = load(config)
        if problems := checks.descriptor_file_problems(settings):
            raise SettingsError(problems)
        request = Request(config, output, base, offline)
        rendering = asyncio.run(rendering_of(settings, request))
        tell(rendering.warnings)
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
            if output is None:
                raise click.ClickException(f"cannot write: {error.strerror or error}") from None
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


@click.command()
def schema() -> None:
    """Print the configuration's JSON Schema, for editors."""
    import json

    from gateway.settings import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
