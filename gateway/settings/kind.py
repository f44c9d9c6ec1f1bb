"""The kinds of value of the file: how each is written, read, judged, shown again and described in the JSON Schema.

Rule: a kind looks at its own value only. What takes two keys to judge is in checks.py.

Values that Python code gives to the models are taken in their own type (seconds, bytes, absolute paths, `Address`);
only a value from a file, known by the `Source` in the validation context, has to be written as people write it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

REDACTED = "[redacted]"

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The validation context of values that come from a file."""

    base: Path  # where relative paths start


def refuse(message: str, hint: str | None = None) -> NoReturn:
    """Say what is wrong with the value at hand. Never put the value of a secret into it."""
    raise PydanticCustomError("settings", "{message}", {"message": message, "hint": hint})


class Kind:
    """An annotation for a model's field. `read` gives the value or calls `refuse`; `write` gives it back as text."""

    native: type | tuple[type, ...] = str  # taken as it is from Python code
    none = False  # whether there may be no value

    def read(self, text: str, _source: Source, /) -> object:
        raise NotImplementedError

    def write(self, value: Any, /) -> object:
        return str(value)

    def shape(self) -> JsonSchema:
        raise NotImplementedError

    def accept(self, value: object, info: ValidationInfo) -> object:
        if self.none and value is None:
            return None
        source = info.context
        if not isinstance(source, Source) and isinstance(value, self.native) and not isinstance(value, bool):
            return value
        if not isinstance(value, str):
            self.refuse_type(value)
        return self.read(value, source if isinstance(source, Source) else Source(Path.cwd()))

    def refuse_type(self, value: object, /) -> NoReturn:
        if value is None:
            refuse("must be text", "give it a value, or remove the key")
        refuse("must be text", "put it in quotes" if isinstance(value, bool | int | float) else None)

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.accept,
            serialization=core_schema.plain_serializer_function_ser_schema(self.write, when_used="json-unless-none"),
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchema:
        return self.shape()


@dataclass(frozen=True)
class Secret(Kind):
    """Text that is never shown again."""

    native = (SecretStr, str)

    def accept(self, value: object, info: ValidationInfo) -> object:
        value = super().accept(value, info)
        return SecretStr(value) if isinstance(value, str) else value

    def read(self, text: str, _source: Source, /) -> SecretStr:
        if not text:
            refuse("must not be empty")
        return SecretStr(text)

    def write(self, _value: SecretStr, /) -> str:
        return REDACTED

    def shape(self) -> JsonSchema:
        return {"type": "string", "minLength": 1, "examples": ["${INTROSPECTION_SECRET}"]}


@dataclass(frozen=True)
class Text(Kind):
    """Text that `read_text` takes as it is, or turns into its normal form, or refuses."""

    read_text: Callable[[str, Source], object]
    pattern: str | None = None
    examples: tuple[str, ...] = ()
    none: bool = False
    native = (str, Path)

    def read(self, text: str, source: Source, /) -> object:
        if not text:
            refuse("must not be empty")
        return self.read_text(text, source)

    def refuse_type(self, value: object, /) -> NoReturn:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.pattern and is_number and not re.search(self.pattern, str(value)):
            self.read_text(str(value), Source(Path.cwd()))  # says what it must be: quotes alone would not do
        super().refuse_type(value)

    def shape(self) -> JsonSchema:
        shape: JsonSchema = {"type": ["string", "null"] if self.none else "string"}
        shape |= {"pattern": self.pattern} if self.pattern else {"minLength": 1}
        return shape | ({"examples": list(self.examples)} if self.examples else {})


NAME = Text(lambda text, _source: text)
