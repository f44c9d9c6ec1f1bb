"""Origins as browsers send them (RFC 6454, section 6.1; Fetch: ASCII serialization of an origin).

Rule: browsers send one canonical form and the gateway compares bytes, so any other form is refused: it would never
match, and whoever wrote it would not know why.
"""

import ipaddress
import re

from gateway.settings.kind import Source, refuse

ORIGIN_PATTERN = r"^(\*|https?://[^/?#@A-Z]+)$"

_LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def read_origin(text: str, _source: Source) -> str:
    """`*`, `scheme://host[:port]`, or the same with `*` as the left-most label of the host."""
    if text == "*":
        return text
    if text.lower() == "null":
        refuse("null is sent by files and sandboxed frames of anybody", "name the page's real origin")
    scheme, separator, rest = text.partition("://")
    if not separator:
        refuse(
            f"must be a scheme and a host: {text}", f"write https://{re.split('[/?#]', text, maxsplit=1)[0].lower()}"
        )
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        refuse(f"must be http or https: {text}")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        refuse("an origin has no user or password")
    host, port = _split(authority, text)
    canonical = f"{scheme}://{_canonical_host(host, text)}"
    if port and port != _DEFAULT_PORTS[scheme]:
        canonical += f":{port}"
    if canonical != text:
        refuse(f"is not in the form that browsers send: {text}", f"write {canonical}")
    return text


def _split(authority: str, text: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?", authority)
    if match is None and re.search(r":[^:\]]*\*", authority):
        refuse(f"the port must be a number: {text}", "name each port that is meant")
    if match is None or not match[1]:
        refuse(f"has no valid host: {text}")
    port = match[2] or ""
    if port and not 1 <= int(port) <= 65535:
        refuse(f"port {port} is not from 1 to 65535: {text}")
    return match[1], str(int(port)) if port else ""


def _canonical_host(host: str, text: str) -> str:
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            refuse(f"{host} is not an IPv6 address: {text}")
    wildcard = "*." if host.startswith("*.") else ""
    name = host.removeprefix(wildcard)
    if "*" in name:
        refuse(f"* must be the whole left-most label of the host: {text}", "write https://*.example.com")
    if wildcard and "." not in name and name.lower() != "localhost":
        refuse(f"is too wide, it lets in whoever has a name under {name}: {text}", "write https://*.example.com")
    ascii_name = _punycode(name.lower(), text)
    if not _HOST.fullmatch(ascii_name):
        refuse(f"{name!r} is not a host name: {text}")
    return wildcard + ascii_name


def _punycode(name: str, text: str) -> str:
    if name.isascii():
        return name
    try:
        encoded = name.encode("idna").decode()
        exact = encoded.encode().decode("idna") == name
    except UnicodeError:
        exact = False
    if not exact:  # the codec follows an older standard than browsers (IDNA 2003): a letter such as ß differs
        refuse(f"must be in the form that browsers send (punycode, xn--…): {text}")
    return encoded
