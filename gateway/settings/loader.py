"""Reads a configuration: YAML, then the environment, then each key, then what takes several keys to judge.

Rule: no step hides what a later one would find. Where a value is bad, a harmless one takes its place for the checks
that follow, and a check that depends on such a place says nothing.
"""

import copy
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.settings import document
from gateway.settings.checks import findings
from gateway.settings.environment import substitute
from gateway.settings.kind import Source
from gateway.settings.outline import section_at
from gateway.settings.problem import Finding, Key, Problem, SettingsError
from gateway.settings.root import Settings
from gateway.settings.translate import explain

EXAMPLE_HINT = "write one after gateway.example.yaml, or name another with -c"

# For required keys whose value is bad, so that the rest of the file can be judged; nothing is ever run with these.
STAND_INS: Mapping[str, object] = {
    "listeners": [{"bind": "127.0.0.1:0"}],
    "bind": "127.0.0.1:0",
    "certificate": os.devnull,
    "private_key": os.devnull,
    "issuer": "https://issuer.invalid",
    "audiences": ["any"],
    "url": "https://issuer.invalid",
    "client_id": "any",
    "client_secret": "any",
    "methods": ["/any.Service/*"],
    "upstreams": {"any": {"services": ["any.Service"], "targets": ["localhost:1"], "tls": {}}},
    "services": ["any.Service"],
    "targets": ["localhost:1"],
    "key": "peer",
    "limit": "1/second",
}


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads a file. Raises SettingsError with every problem; nothing of a bad file is used."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise SettingsError([Problem("", None, f"no such file: {path}", EXAMPLE_HINT)]) from None
    except UnicodeDecodeError:
        raise SettingsError([Problem("", None, f"not a text file in UTF-8: {path}")]) from None
    except OSError as error:
        raise SettingsError([Problem("", None, f"cannot read {path}: {error.strerror}")]) from None
    return parse(text, path.absolute().parent, environ, str(path))


def parse(text: str, base: Path, environ: Mapping[str, str] = os.environ, name: str = "gateway.yaml") -> Settings:
    """As `load`, of a text: `base` is where relative paths start, `name` what problems call the file."""
    read = document.read(text, name)
    found, bad = list(read.findings), set(read.lost)

    def report(finding: Finding) -> None:
        found.append(finding)
        bad.add(finding.key)

    data = substitute(read.data, environ, report)
    settings, wrong = _validate(data, base)
    found += [finding for finding in wrong if not _is_within(finding.key, bad)]
    bad.update(finding.key for finding in wrong)
    if bad:
        settings, _ = _validate(_mended(data, bad), base)
    if settings is not None:
        unsure = {_field(key) for key in bad}
        found += [
            finding for finding in findings(settings) if not any(_is_within(key, unsure) for key in finding.needs)
        ]
    if found or settings is None:
        problems = [read.places.problem(finding) for finding in found]
        raise SettingsError(sorted(problems, key=lambda problem: problem.line or 0))
    settings.remember(read.places)
    return settings


def _validate(data: object, base: Path) -> tuple[Settings | None, list[Finding]]:
    try:
        return Settings.model_validate(data, context=Source(base.absolute())), []
    except ValidationError as error:
        return None, [explain(details) for details in error.errors(include_url=False)]


def _is_within(key: Key, places: Collection[Key]) -> bool:
    return any(key[:length] in places for length in range(len(key) + 1))


def _field(key: Key) -> Key:
    """Without the steps into a list at its end: the whole list is in doubt when one of its items is."""
    while key and isinstance(key[-1], int):
        key = key[:-1]
    return key


def _mended(data: object, bad: Iterable[Key]) -> object:
    """A copy in which bad values are gone, or replaced where there has to be one."""
    data = copy.deepcopy(data)
    for key in sorted({_field(key) for key in bad}, key=len):
        section = _at(data, key[:-1])
        if not key or not isinstance(section, dict):
            continue  # a bad value around it is gone already
        model, name = section_at(key[:-1]), str(key[-1])
        if model and name in model.model_fields and model.model_fields[name].is_required():
            section[name] = copy.deepcopy(STAND_INS[name])
        else:
            section.pop(name, None)
    return data


def _at(data: object, key: Key) -> object:
    for step in key:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data
