"""`python -m gateway.demo`: the backend and the issuer alone, with the files that a proxy before them needs.

Rule: an error is one line on stderr; the exit codes are those of `grpcweb-gateway`.
"""

import asyncio
import ipaddress
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway import extras
from gateway.demo import NEEDED
from gateway.settings import Address

if TYPE_CHECKING:
    from gateway.demo.standalone import Standalone

PROGRAM = "python -m gateway.demo"
FINE, REFUSED, USAGE, NOT_STARTED = 0, 1, 2, 3
PORT = click.IntRange(0, 65535)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # grpc-core's own lines
    try:
        demo.main(arguments, PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        return _fail(f"{error.format_message()} (hint: --help)", USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), NOT_STARTED)
    return FINE


def _host(_ctx: click.Context, _parameter: click.Parameter, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an IP address") from None


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--folder",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files go: tls/ca.pem, server.*, gateway.*, and issuer/jwks.json.",
)
@click.option("--host", default="127.0.0.1", callback=_host, help="Where to listen; 0.0.0.0 in a container.")
@click.option("--backend-port", type=PORT, metavar="PORT", default=50051, help="gRPC over mutual TLS.")
@click.option("--issuer-port", type=PORT, metavar="PORT", default=8081, help="The OAuth2 issuer: HTTP.")
@click.option("--issuer-url", metavar="URL", help="How it calls itself.  [default: http://127.0.0.1:PORT]")
@click.option(
    "--origin", "origins", metavar="ORIGIN", multiple=True, help="A page that may log in; any number of times."
)
@click.option("--group-readable", is_flag=True, help="Let other users of the same group read the keys.")
def demo(
    *,
    folder: Path,
    host: str,
    backend_port: int,
    issuer_port: int,
    issuer_url: str | None,
    origins: tuple[str, ...],
    group_readable: bool,
) -> None:
    """The demonstration's backend and issuer alone.

    A proxy before them, this gateway or Envoy, takes its certificates and the key set from DIR. For development only:
    whoever reaches the issuer gets a token.
    """
    if lacking := extras.missing(NEEDED):
        raise click.ClickException(f"it needs {', '.join(lacking)} ({extras.to_install('demo')})")
    from gateway.demo.standalone import Standalone  # noqa: PLC0415 - its libraries are an extra

    asked = Standalone(
        folder=folder,
        host=host,
        backend_port=backend_port,
        issuer_port=issuer_port,
        issuer_url=issuer_url,
        origins=origins,
        group_readable=group_readable,
    )
    try:
        asyncio.run(_until_signalled(asked))
    except OSError as error:
        # That of the backend already names the address.
        where = f": {error.filename}" if error.filename else ""
        raise click.ClickException(f"{error.strerror or error}{where}") from None


async def _until_signalled(asked: "Standalone") -> None:
    from gateway.demo.standalone import Running  # noqa: PLC0415 - as above

    loop, signalled = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    async with Running(asked) as running:
        backend, issuer = (Address(asked.host, port) for port in (running.backend.port, running.issuer.port))
        click.echo(f"ready: backend {backend}, issuer {issuer} as {running.issuer.url}, files in {asked.folder}")
        await signalled.wait()


def _fail(message: str, code: int) -> int:
    click.echo(f"{PROGRAM}: {message}".replace("\n", " "), err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
