"""Names of services and methods, and of the certificates that may call them.

Rule: names are compared byte for byte, so what could never match, or matches more than it says, is refused here.
"""

import re

from gateway.settings.kind import Source, refuse

_NAME = r"[A-Za-z0-9_.~-]+"  # as protocol paths have them; `*` is no part of a name
METHOD_PATTERN = rf"^/{_NAME}/{_NAME}$"
RULE_PATTERN = rf"^/{_NAME}/({_NAME}|\*)$"
SERVICE_PATTERN = rf"^(\*|{_NAME}|{_NAME}\.\*)$"
URI_PATTERN = r"^([a-z][a-z0-9+.-]*://[^/\s]\S*|urn:\S+)$"
IDENTITY_PATTERN = rf"({URI_PATTERN})|^(DNS|CN|IP|email):.+$"

_PACKAGE = re.compile(r"[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*")


def read_method(text: str, _source: Source) -> str:
    """Exactly `/pkg.Service/Method`."""
    if text.endswith("/*"):
        refuse(f"must be one exact method: {text}", "name each method: /pkg.Service/Method")
    return _method(text, METHOD_PATTERN, "/pkg.Service/Method")


def read_rule_method(text: str, _source: Source) -> str:
    """`/pkg.Service/Method` or `/pkg.Service/*`."""
    return _method(text, RULE_PATTERN, "/pkg.Service/Method or /pkg.Service/*")


def read_service(text: str, _source: Source) -> str:
    """`pkg.Service`, `pkg.*` or `*`."""
    if text == "*" or _PACKAGE.fullmatch(text.removesuffix(".*")):
        return text
    hint = f"write {text.strip('/')}" if _PACKAGE.fullmatch(text.strip("/")) else None
    refuse(f'must be pkg.Service, pkg.* or "*": {text}', hint)


def read_identity(text: str, _source: Source) -> str:
    """A name of a client certificate, compared exactly: a URI as it is, or `DNS:…`, `CN:…`, `IP:…`, `email:…`."""
    prefix, colon, name = text.partition(":")
    if name != name.strip() or (colon and not name):
        refuse(f"has nothing, or a space, after {prefix}: {text!r}")
    if prefix in ("CN", "email"):
        return text
    if prefix == "DNS":
        if "*" in name:
            refuse(f"must be one host name: {text}", "name each")
        if name != name.lower():
            refuse(f"must be in lower case: {text}", f"write DNS:{name.lower()}")
        return text
    if prefix == "IP":
        if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", name):
            refuse(f"must be an IPv4 address: {text}")
        return text
    if re.fullmatch(URI_PATTERN, text):
        return text
    refuse(f"must be a URI such as spiffe://…, or DNS:…, CN:…, IP:… or email:…: {text}", _meant(prefix, name))


def _meant(prefix: str, name: str) -> str | None:
    if prefix.upper() == "URI":
        return f"write {name}"
    if prefix.upper() in ("DNS", "CN", "IP"):
        return f"write {prefix.upper()}:{name}"
    return None if name else f"did you mean DNS:{prefix}?"


def _method(text: str, pattern: str, form: str) -> str:
    if re.fullmatch(pattern, text):
        return text
    if re.fullmatch(pattern, f"/{text}"):
        refuse(f"must begin with a slash: {text}", f"write /{text}")
    if "*" in text:
        refuse(f"* stands only for every method of one service: {text}", "write /pkg.Service/*")
    refuse(f"must be {form}: {text}")
