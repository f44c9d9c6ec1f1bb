"""Runs a gateway in a process of its own: `serve`, `demo` and `dev`, from settings to the signal that ends it.

Rule: one event loop in one process; SIGTERM and SIGINT drain, a second one stops at once.
"""

import asyncio
import contextlib
import gc
import json
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvloop

from gateway.app import Gateway, StartError
from gateway.envoy import process as envoy_process
from gateway.envoy.output import Request, rendering_of, write
from gateway.envoy.process import EnvoyError
from gateway.envoy.validate import EnvoyMissingError, find_envoy
from gateway.front.pages import static_pages
from gateway.observe import log as observe_log
from gateway.settings import Address, Admin, Settings, load, parse

if TYPE_CHECKING:
    from gateway.demo.world import DemoWorld

LOOPBACK = "127.0.0.1"

log = structlog.get_logger("gateway")


def serve(settings: Settings, *, debug: bool = False) -> None:
    """Run until a signal ends it. Raises SettingsError, StartError."""
    _configure_log(settings, debug=debug)
    _run(_until_signalled(Gateway(settings)))


def demo(
    http_port: int, https_port: int, issuer_port: int, *, envoy_port: int | None = None, debug: bool = False
) -> None:
    """The whole demonstration on this machine, with a real Envoy beside the gateway if it gets a port. Raises
    SettingsError, StartError.
    """
    if missing := [name for name in ("trustme", "aiohttp_cors", "grpc_health") if find_spec(name) is None]:
        raise StartError(f"the demo needs {', '.join(missing)}: in a checkout, pip install '.[demo]'")
    if envoy_port is not None:
        try:
            find_envoy()
        except EnvoyMissingError as error:
            raise StartError(str(error)) from None
    _run(_demo(http_port, https_port, issuer_port, envoy_port=envoy_port, debug=debug))


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
    _configure_log(settings, debug=debug)
    gateway = Gateway(settings, for_development=True)

    def tell() -> None:
        kind = "plaintext" if plaintext else "TLS"
        print(f"\n  Browsers call {gateway.urls[0]}; calls go to {target} ({kind}).\n  Ctrl-C stops.\n", flush=True)

    _run(_until_signalled(gateway, tell))


async def _demo(http_port: int, https_port: int, issuer_port: int, *, envoy_port: int | None, debug: bool) -> None:
    from gateway.demo.world import DemoWorld  # noqa: PLC0415 - its libraries are an extra

    world = DemoWorld(http_port=http_port, https_port=https_port, issuer_port=issuer_port, admin_port=0)
    try:
        await world.__aenter__()
    except OSError as error:
        raise StartError(
            f"the issuer cannot listen: {error.strerror or error} (choose another with --issuer-port)"
        ) from None
    try:
        settings = load(world.config_path)
        _configure_log(settings, debug=debug)
        async with _envoy_beside(world, envoy_port) as envoy:
            others = () if envoy is None else (envoy.url,)
            config = {**world.page_config, "gateways": [*world.gateways, *others]}
            connect = (world.issuer.url, *world.origins, *others)
            gateway = Gateway(settings, pages=static_pages(_web_folder(), connect=connect, data={"demo.json": config}))

            def tell() -> None:
                print(_welcome(world, gateway, envoy), flush=True)

            await _until_signalled(gateway, tell)
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
    settings = load(world.config_path, planned=True)
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


def _welcome(world: "DemoWorld", gateway: Gateway, envoy: _Envoy | None) -> str:
    beside = [] if envoy is None else [f"  Envoy          {envoy.url}   (choose it on the page; {envoy.configuration})"]
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


def _configure_log(settings: Settings, *, debug: bool) -> None:
    configured = settings.observability.log
    observe_log.configure(console=configured.format == "console", level="debug" if debug else configured.level)


def _run(main: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def _spare_the_collector() -> None:
    """What is here now stays, and calls leave no cycles: looking for some took 2 to 5 % of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _until_signalled(gateway: Gateway, started: Callable[[], None] | None = None) -> None:
    """Start, wait for SIGTERM or SIGINT, drain, stop. A second signal stops at once."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, None)
    loop.add_signal_handler(signal.SIGHUP, lambda: log.warning("reload_not_supported_yet"))
    observe_log.OUTPUT.gather(loop.call_later)
    try:
        await gateway.start()
        _spare_the_collector()
        if started is not None:
            observe_log.OUTPUT.write_out()
            started()
        await signals.get()
        drain = asyncio.ensure_future(gateway.drain())
        again = asyncio.ensure_future(signals.get())
        await asyncio.wait({drain, again}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drain, again):
            task.cancel()
    finally:
        await gateway.stop()
        observe_log.OUTPUT.gather(None)
