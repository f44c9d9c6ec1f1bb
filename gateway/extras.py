"""Libraries that only some of the gateway needs: the extras of the distribution."""

import json
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import distribution
from importlib.util import find_spec

DISTRIBUTION = "grpcweb-gateway"


def missing(modules: Iterable[str]) -> list[str]:
    """Those that cannot be imported; none is."""
    return [module for module in modules if not _is_installed(module)]


def to_install(*names: str) -> str:
    """What a person can do about extras that are missing, by the Python that misses them."""
    as_it_is = "-e " if _is_editable() else ""
    return f"in a checkout: {shlex.quote(sys.executable)} -m pip install {as_it_is}'.[{','.join(names)}]'"


def _is_editable() -> bool:
    """Installed so that it runs from the checkout, which it must not lose (PEP 610)."""
    origin = distribution(DISTRIBUTION).read_text("direct_url.json")
    return origin is not None and bool(json.loads(origin).get("dir_info", {}).get("editable"))


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False
