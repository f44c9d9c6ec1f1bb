"""The command line.

Rule: an error is one line on stderr, and the exit code says whose it is: 0 fine, 1 the configuration or the check
failed, 2 wrong usage, 3 could not bind or start. A traceback is shown with --debug only.

Commands import what they need when they run: `--help` is quick, and `schema` and `check` start no event loop in vain.
"""

import os
from collections.abc import Sequence

import click

from gateway.cli.base import FINE, INTERRUPTED, NOT_STARTED, PROGRAM, REFUSED, USAGE, Misused, NotStarted, say
from gateway.cli.configuration import check, envoy, schema
from gateway.cli.running import demo, dev, serve, worker

__all__ = ["FINE", "INTERRUPTED", "NOT_STARTED", "REFUSED", "USAGE", "commands", "main"]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # grpc-core's own lines; what matters of them is an event of ours
    try:
        code = commands.main(arguments, PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return USAGE
    except click.UsageError as error:
        help_for = error.ctx.command_path if error.ctx else PROGRAM
        say(f"{error.format_message()} (hint: {error.hint if isinstance(error, Misused) else f'{help_for} --help'})")
        return USAGE
    except NotStarted as error:
        say(error.message)
        return NOT_STARTED
    except click.ClickException as error:
        say(error.format_message())
        return REFUSED
    except click.Abort:
        return INTERRUPTED
    except OSError as error:  # of standard output; commands answer for what else they touch
        say(f"cannot write: {error.strerror or error}")
        return REFUSED
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


for _command in (serve, check, demo, dev, envoy, schema, worker):
    commands.add_command(_command)
