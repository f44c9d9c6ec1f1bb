"""Libraries that only some of the gateway needs: the extras of the distribution."""

import shlex
import sys
from collections.abc import Iterable
from importlib.util import find_spec


def missing(modules: Iterable[str]) -> list[str]:
    """Those that cannot be imported; none is."""
    return [module for module in modules if not _is_installed(module)]


def to_install(extra: str) -> str:
    """What a person can do about it, by the Python that misses them."""
    return f"in a checkout: {shlex.quote(sys.executable)} -m pip install '.[{extra}]'"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False
