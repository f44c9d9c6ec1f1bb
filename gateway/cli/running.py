"""Commands that run a gateway: `serve`, `demo`, `dev`."""

import signal
from collections.abc import Mapping
from pathlib import Path

import click

from gateway.cli.base import PORT, Misused, answering, config_option, debug_option, naming_options, starting
from gateway.cli.target import read_target

# What stands for keys of a configuration in commands that read no file.
OF_DEMO = {"listeners[0].bind": "--http-port", "listeners[1].bind": "--https-port", "issuer": "--issuer-port"}
OF_DEV = {
    "listeners[0].bind": "--port",
    "upstreams.dev.tls.ca": "--ca",
    "upstreams.dev.tls.certificate": "--cert",
    "upstreams.dev.tls.private_key": "--key",
}


@click.command()
@config_option
@click.option("--workers", type=click.IntRange(1, 256), help="Processes sharing the listeners.  [default: the file's]")
@debug_option
def serve(config: Path, workers: int | None, debug: bool) -> None:
    """Run the gateway.

    Until SIGTERM or Ctrl-C; then calls in flight may finish. It follows changes of FILE; SIGHUP reads it again.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # who starts reads the file anyway, and should not end of it
    with answering(debug), starting(debug):
        from gateway.settings import load

        settings = load(config)
        if (workers or settings.workers) > 1:
            from gateway.supervisor import supervise

            raise click.exceptions.Exit(supervise(config, settings, workers, debug=debug))
        from gateway import run

        run.serve(config, settings, debug=debug)


@click.command(hidden=True)
@click.argument("order")
def worker(order: str) -> None:
    """One of several; `serve` starts them."""
    from gateway.order import Order

    told = Order.read(order)
    with answering(told.debug), starting(told.debug):
        from gateway.worker import work

        work(told)


@click.command()
@click.option("--http-port", type=PORT, metavar="PORT", default=8080, help="The sample page, and calls in plaintext.")
@click.option("--https-port", type=PORT, metavar="PORT", default=8443, help="The same over TLS.")
@click.option("--issuer-port", type=PORT, metavar="PORT", default=8081, help="The OAuth2 issuer.")
@click.option("--envoy", is_flag=True, help="A real Envoy beside the gateway, with the same policy (extra: envoy).")
@click.option("--envoy-port", type=PORT, metavar="PORT", default=8082, help="Where it is called.")
@debug_option
@click.pass_context
def demo(
    ctx: click.Context,
    *,
    http_port: int,
    https_port: int,
    issuer_port: int,
    envoy: bool,
    envoy_port: int,
    debug: bool,
) -> None:
    """Show it all, on this machine.

    With an mTLS backend, an OAuth2 issuer and a page that calls.
    """
    ports = {"--http-port": http_port, "--https-port": https_port, "--issuer-port": issuer_port}
    _must_differ(ctx, ports | ({"--envoy-port": envoy_port} if envoy else {}))
    with answering(debug), starting(debug), naming_options(OF_DEMO):
        from gateway import run

        run.demo(http_port, https_port, issuer_port, envoy_port=envoy_port if envoy else None, debug=debug)


def _must_differ(ctx: click.Context, ports: Mapping[str, int]) -> None:
    """Of each option its port, of which there may be only one; 0 is any free one."""
    options: dict[int, str] = {}
    for option, port in ports.items():
        if port and port in options:
            raise Misused(f"{option}: {port} is {options[port]}'s, too", "choose another port", ctx)
        options[port] = option


def _loopback_only(_ctx: click.Context, _parameter: click.Parameter, host: str) -> str:
    from gateway.settings import Address

    if not Address(host, 0).is_loopback:
        message = f"{host} is open to other machines, and dev asks nobody for a token: it listens on this one only"
        raise click.UsageError(f'{message}; "serve" with a gateway.yaml is for others')
    return host


def _server_name(_ctx: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    from gateway.settings.target import is_server_name

    if name is not None and not is_server_name(name):
        raise click.BadParameter("must be a host name, without scheme or port")
    return name


PEM = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)


@click.command()
@click.argument("target", metavar="HOST:PORT", callback=read_target)
@click.option("--port", type=PORT, metavar="PORT", default=8080, help="Where browsers call, on this machine only.")
@click.option("--host", default="127.0.0.1", hidden=True, expose_value=False, callback=_loopback_only)
@click.option("--plaintext/--tls", default=None, help="How to speak to the backend.  [default: --plaintext]")
@click.option("--ca", type=PEM, help="PEM: who signs the backend's certificate (means --tls).")
@click.option("--cert", type=PEM, help="PEM: a client certificate (means --tls).")
@click.option("--key", type=PEM, help="PEM: its private key.")
@click.option("--server-name", callback=_server_name, help="The name in the backend's certificate (means --tls).")
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
    with answering(debug), starting(debug), naming_options(OF_DEV):
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
