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
from gateway.settings.model import Section
from gateway.settings.outline import section_at
from gateway.settings.problem import ANY, Finding, Key, Problem, SettingsError
from gateway.settings.root import Settings
from gateway.settings.translate import EMPTY, explain

UNREADABLE_HINTS: Mapping[type[OSError], str] = {
    IsADirectoryError: "name a file in it",
    PermissionError: "let the user that runs this read it",
}
EXAMPLE_HINT = "write one after gateway.example.yaml, or name another with -c"

# What stands for the value of a required key that is bad, so that the rest can be judged. Nothing ever runs with these.
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
    "upstreams": {"any": {"services": ["any.Service"], "targets": ["localhost:1"]}},
    "services": ["any.Service"],
    "targets": ["localhost:1"],
    "key": "peer",
    "limit": "1/second",
}


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads a file. Raises SettingsError with every problem; nothing of a bad file is used."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError([Problem("", None, f"no such file: {path}", EXAMPLE_HINT)]) from None
    except OSError as error:
        hint = UNREADABLE_HINTS.get(type(error))
        raise SettingsError([Problem("", None, f"cannot read {path}: {error.strerror}", hint)]) from None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError([Problem("", line, "not a text in UTF-8", "save the file as UTF-8", str(path))]) from None
    return parse(text, path.absolute().parent, environ, str(path))


def parse(
    text: str,
    base: Path,
    environ: Mapping[str, str] = os.environ,
    name: str = "gateway.yaml",
) -> Settings:
    """As `load`, of a text: `base` is where relative paths start, `name` what problems call the file."""
    read = document.read(text, name)
    found, bad = list(read.findings), set(read.lost)

    def report(finding: Finding) -> None:
        found.append(finding)
        bad.add(finding.key)

    data = substitute(read.data, environ, report)
    source = Source(base.absolute())
    settings, wrong = _validate(data, source)
    found += [finding for finding in wrong if not _is_within(finding.key, bad)]
    in_doubt = {_doubtful(key) for key in bad.union(finding.key for finding in wrong)}
    if in_doubt:
        settings, _ = _validate(_mended(data, in_doubt), source)
    if settings is not None:
        settings.remember(read.places)
        found += [
            finding
            for finding in findings(settings)
            if not any(_rests_on(need, key) for need in finding.needs for key in in_doubt)
        ]
    if found or settings is None:
        problems = sorted(map(read.places.problem, found), key=lambda problem: problem.line or 0)
        raise SettingsError(problems, settings, in_doubt)
    return settings


def _validate(data: object, source: Source) -> tuple[Settings | None, list[Finding]]:
    try:
        return Settings.model_validate(data, context=source), []
    except ValidationError as error:
        wrong = [explain(details) for details in error.errors(include_url=False)]
    # pydantic finds a list empty when all that it holds is bad, which is told already.
    return None, [finding for finding in wrong if finding.message != EMPTY or not _holds(finding.key, wrong)]


def _holds(key: Key, findings: Iterable[Finding]) -> bool:
    return any(len(finding.key) > len(key) and finding.key[: len(key)] == key for finding in findings)


def _is_within(key: Key, places: Collection[Key]) -> bool:
    return any(key[:length] in places for length in range(len(key) + 1))


def _rests_on(need: Key, key: Key) -> bool:
    """Whether a value that is needed is the one at `key`, or within it."""
    return len(key) <= len(need) and all(wanted in (step, ANY) for wanted, step in zip(need, key, strict=False))


def _doubtful(key: Key) -> Key:
    """What a bad value leaves in doubt: of a list of plain values, the whole list."""
    while key and isinstance(key[-1], int) and section_at(key) is None:
        key = key[:-1]
    return key


def _mended(data: object, in_doubt: Iterable[Key]) -> object:
    """A copy in which doubtful values are gone, or replaced where there has to be one."""
    data = copy.deepcopy(data)
    for key in sorted(in_doubt, key=len):
        around, step = _at(data, key[:-1]), key[-1]
        if isinstance(around, list) and isinstance(step, int):
            around[step] = _stand_ins(section_at(key))
        elif isinstance(around, dict):
            around.pop(step, None)
            around |= {name: value for name, value in _stand_ins(section_at(key[:-1])).items() if name == step}
    return data


def _stand_ins(section: type[Section] | None) -> dict[str, object]:
    fields = section.model_fields if section else {}
    return {name: copy.deepcopy(STAND_INS[name]) for name, field in fields.items() if field.is_required()}


def _at(data: object, key: Key) -> object:
    for step in key:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data
