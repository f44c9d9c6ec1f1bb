"""Which keys there are, and where: for hints about keys that nobody knows."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import get_args, get_origin

from gateway.settings.model import Section
from gateway.settings.problem import Key
from gateway.settings.root import Settings


def section_at(key: Key) -> type[Section] | None:
    """The model of the section at a key; None where there is none."""
    section: type[Section] | None = Settings
    named = False  # the next step is a name that the user chose
    for step in key:
        if isinstance(step, int):
            continue
        if named:
            named = False
            continue
        field = section.model_fields.get(step) if section else None
        section, named = _inside(field.annotation) if field else (None, False)
    return None if named else section


@cache
def places_of(name: str) -> tuple[str, ...]:
    """All sections that have a key of this name: `max_calls` -> `("limits",)`."""
    return tuple(path for path, section in sections() if path and name in section.model_fields)


def sections(path: str = "", section: type[Section] = Settings) -> Iterator[tuple[str, type[Section]]]:
    """Every section of the file, with its key: `upstreams.*.tls`, `listeners[]`."""
    yield path, section
    for name, field in section.model_fields.items():
        inner, named = _inside(field.annotation)
        if inner is not None:
            many = ".*" if named else "[]" if get_origin(field.annotation) is tuple else ""
            yield from sections(f"{path}.{name}{many}".lstrip("."), inner)


def _inside(annotation: object) -> tuple[type[Section] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    for argument in get_args(annotation):
        section, _ = _inside(argument)
        if section is not None:
            return section, get_origin(annotation) is Mapping
    return None, False
