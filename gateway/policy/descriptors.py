"""What methods the backends have, from a FileDescriptorSet, and whether the rules name only those.

Rule: a typo in a rule opens or closes a door silently; so a rule that names what the descriptors lack stops the start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from gateway.settings import Authorization


class DescriptorsError(Exception):
    """The descriptors cannot be read; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The methods of a set of descriptors: raw path -> whether it is unary on both sides."""

    methods: dict[str, bool]

    @property
    def services(self) -> frozenset[str]:
        return frozenset(path.rpartition("/")[0] for path in self.methods)

    @property
    def unary(self) -> frozenset[bytes]:
        """Raw paths of the methods that take one message and give one."""
        return frozenset(path.encode() for path, unary in self.methods.items() if unary)


def catalog(serialized: bytes) -> Catalog:
    """Read a serialized google.protobuf.FileDescriptorSet (`buf build -o x.binpb`, `protoc -o`)."""
    try:
        files = FileDescriptorSet.FromString(serialized)
    except DecodeError:
        raise DescriptorsError("not a FileDescriptorSet; make one with `buf build -o` or `protoc -o`") from None
    methods = {
        f"/{file.package + '.' if file.package else ''}{service.name}/{method.name}": not (
            method.client_streaming or method.server_streaming
        )
        for file in files.file
        for service in file.service
        for method in service.method
    }
    if not methods:
        raise DescriptorsError("the descriptors declare no service; include the services' own files")
    return Catalog(methods)


def unknown_methods(rules: Authorization, known: Catalog) -> Iterable[tuple[int, int, str, str | None]]:
    """(index of the rule, index of the method in it, the method, the nearest known one) for each that is not there."""
    services = known.services
    for rule_index, rule in enumerate(rules.rules):
        for method_index, method in enumerate(rule.methods):
            service, _, name = method.rpartition("/")
            if service in services if name == "*" else method in known.methods:
                continue
            choices = [f"{each}/*" for each in services] if name == "*" else list(known.methods)
            near = get_close_matches(method, choices, n=1)
            yield rule_index, method_index, method, near[0] if near else None
