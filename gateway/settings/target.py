"""Where a backend is: `HOST:PORT`, `dns:///HOST:PORT`, `unix:PATH` or `xds:///NAME` (gRPC Name Resolution).

Rule: a port is always said; gRPC would take 443 without a word.
"""

import os
import re
from pathlib import Path

from gateway.settings.address import parse_address
from gateway.settings.kind import Source, refuse

TARGET_PATTERN = r"^(dns:(//[^/]*/)?[^/]+:[0-9]+|unix:.+|xds:///.+|[^/]+:[0-9]+)$"

_SERVER_NAME = re.compile(r"[0-9A-Za-z]([0-9A-Za-z_.-]*[0-9A-Za-z])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+")


def read_target(text: str, source: Source) -> str:
    """The target as gRPC takes it; the path of a relative `unix:` target becomes absolute."""
    scheme, colon, rest = text.partition(":")
    if text.startswith(("http://", "https://", "grpc://", "grpcs://")):
        refuse(f"is a URL: {text}", "write HOST:PORT, and say tls or plaintext beside it")
    if colon and scheme == "unix":
        return _unix(rest, source)
    if colon and scheme == "xds":
        if not re.fullmatch(r"//[^/\s]*/\S+", rest):
            refuse(f"must be xds:///NAME: {text}")
        return text
    if colon and scheme == "dns":
        authority = re.match(r"//[^/]*/", rest)
        _judge(rest[authority.end() :] if authority else rest, text)
        return text
    if "://" in text:
        refuse(f"must be HOST:PORT, dns:///HOST:PORT, unix:PATH or xds:///NAME: {text}")
    _judge(text, text)
    return text


def needs_grpcio(target: str) -> bool:
    """Whether only grpcio can resolve it: xds, and names for which another server is to be asked."""
    return re.match(r"xds:|dns://[^/]+/", target) is not None


def read_server_name(text: str, _source: Source) -> str:
    if not is_server_name(text):
        refuse(f"must be a host name, without scheme or port: {text}")
    return text


def is_server_name(text: str) -> bool:
    """A host name or IP address, without a port."""
    return bool(_SERVER_NAME.fullmatch(text)) and all(0 < len(label) < 64 for label in text.split("."))


def _unix(rest: str, source: Source) -> str:
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if not path or path.startswith("//"):
        refuse("names no socket", "write unix:PATH")
    return f"unix:{os.path.normpath(source.base / Path(path))}"


def _judge(address: str, text: str) -> None:
    try:
        parse_address(address, lowest_port=1)
    except ValueError as error:
        refuse(f"{error}: {text}" if text != address else str(error))
