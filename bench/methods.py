"""The methods that calls go to, and what a backend answers: ready-made, so that it costs the backend little."""

from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

SERVICE = "bench.Bench"
SIXTEEN = b"\x0a\x10sixteen bytes ok"  # field 1: a text, as a small message has it
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Method:
    """Whatever the request, so many times the same message."""

    name: str
    message: bytes
    count: int = 1
    streams: bool = False  # the messages of its answer
    ends: bool = True  # False: after its messages the answer stays open, and silent

    @property
    def path(self) -> str:
        return f"/{SERVICE}/{self.name}"

    @property
    def reply(self) -> bytes:
        """The data frames of an answer. Makes them anew."""
        return frame(self.message) * self.count


# nghttpd takes the type of an answer from the extension of a file. A stream has fewer messages than Envoy lets frames
# wait for a slow reader before it closes the connection: 10,000.
SMALL = Method("Echo.grpc", SIXTEEN)
LARGE = Method("Large.grpc", bytes(64 * 1024))
BULK = Method("Bulk.grpc", bytes(MIB), count=16, streams=True)
MANY = Method("Many", SIXTEEN, count=8000, streams=True)
WAIT = Method("Wait", SIXTEEN, streams=True, ends=False)
METHODS = (SMALL, LARGE, BULK, MANY, WAIT)


def frame(message: bytes) -> bytes:
    """A gRPC length-prefixed message, which a gRPC-Web data frame is too (PROTOCOL-HTTP2, PROTOCOL-WEB)."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def descriptors() -> FileDescriptorSet:
    """Of the service. Made by hand: no compiler allows the dot in the names of the methods."""
    package, _, name = SERVICE.rpartition(".")
    file = FileDescriptorProto(name="bench.proto", package=package, syntax="proto3")
    file.message_type.add(name="Message").field.add(name="text", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    service = file.service.add(name=name)
    message = f".{package}.Message"
    for method in METHODS:
        service.method.add(name=method.name, input_type=message, output_type=message, server_streaming=method.streams)
    return FileDescriptorSet(file=[file])
