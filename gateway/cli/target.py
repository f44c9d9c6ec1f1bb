"""The backend of `dev`: `HOST:PORT`. Whoever writes it otherwise is shown the command that was meant.

Rule: what was written is not repeated as a whole: a URL may hold a password.
"""

import re

import click

from gateway.cli.base import PROGRAM, Misused

USUAL_PORT, USUAL_TLS_PORT = 50051, 443
TLS_SCHEMES = ("https", "grpcs")


def read_target(ctx: click.Context, _parameter: click.Parameter, text: str) -> str:
    from gateway.settings.address import parse_address

    try:
        return str(parse_address(text, lowest_port=1))
    except ValueError as error:
        reason = str(error)
    if text.startswith(("unix:", "xds:")):
        raise Misused("dev takes HOST:PORT only", '"serve" with a gateway.yaml takes unix: and xds: targets', ctx)
    scheme, tls, meant = _meant(text)
    if meant is None:
        raise click.BadParameter(reason)
    command = f"{PROGRAM} dev {meant}"
    hint = f"{command} --tls" if tls else f"{command}, with --tls if the backend wants TLS"
    raise Misused(f"HOST:PORT is expected{f', not {scheme}://' if scheme else ''}", hint, ctx)


def _meant(text: str) -> tuple[str, bool, str | None]:
    """Scheme, whether that means TLS, and the address, if there is one to be seen."""
    from gateway.settings.address import parse_address

    before, separator, after = text.partition("://")
    scheme, rest = (before.lower(), after.lstrip("/")) if separator else ("", text)
    tls = scheme in TLS_SCHEMES
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if place.removeprefix(":").isdecimal():
        place = f"localhost:{place.removeprefix(':')}"
    host, _, port = place.rpartition(":")
    usual = USUAL_TLS_PORT if tls else USUAL_PORT
    for address in (place, f"[{host}]:{port}", f"[{place}]:{usual}", f"{place}:{usual}"):
        try:
            return scheme, tls, str(parse_address(address, lowest_port=1))
        except ValueError:
            continue
    return scheme, tls, None
