"""The configuration file: YAML in, frozen models out, or every problem at once.

Rule: the models mirror the file. An attribute is a key, durations are seconds, sizes bytes, paths absolute.

    document.py     YAML -> plain values and the line of every key; syntax.py what is no YAML
    environment.py  ${NAME} and ${NAME:-default}
    kind.py         kinds of value; address, algorithm, file, header, method, origin, quantity, rate, target, url: their
                    grammars
    root.py         the whole file; a file for each section: listener, cors, auth, authorization, upstream, limits,
                    observability
    route.py        which upstream a service goes to
    checks.py       what takes more than one key to judge
    loader.py       all of it in order
    schema.py       the JSON Schema, for editors
"""

from gateway.settings.address import Address
from gateway.settings.auth import Auth, Introspection, Issuer
from gateway.settings.authorization import Authorization, Rule
from gateway.settings.cors import Cors
from gateway.settings.limits import Limits, Rate
from gateway.settings.listener import Admin, Listener, ListenerTls
from gateway.settings.loader import load, parse
from gateway.settings.observability import Log, Observability, Tracing
from gateway.settings.problem import Problem, SettingsError
from gateway.settings.root import Settings
from gateway.settings.schema import json_schema
from gateway.settings.upstream import OutlierDetection, Upstream, UpstreamTls

__all__ = [
    "Address",
    "Admin",
    "Auth",
    "Authorization",
    "Cors",
    "Introspection",
    "Issuer",
    "Limits",
    "Listener",
    "ListenerTls",
    "Log",
    "Observability",
    "OutlierDetection",
    "Problem",
    "Rate",
    "Rule",
    "Settings",
    "SettingsError",
    "Tracing",
    "Upstream",
    "UpstreamTls",
    "json_schema",
    "load",
    "parse",
]
