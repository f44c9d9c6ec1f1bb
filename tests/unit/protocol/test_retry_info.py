"""RetryInfo, read by classes that protobuf makes of the published definitions."""

import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory
from google.protobuf.message import Message

from gateway.protocol.retry_info import pushback, with_retry_info
from gateway.protocol.status import Code, Status

Field = descriptor_pb2.FieldDescriptorProto


def definitions() -> tuple[type[Message], type[Message]]:
    """google.rpc.Status and google.rpc.RetryInfo."""
    file = descriptor_pb2.FileDescriptorProto(name="rpc.proto", package="google.rpc", syntax="proto3")
    file.dependency.extend([any_pb2.DESCRIPTOR.name, duration_pb2.DESCRIPTOR.name])
    status = file.message_type.add(name="Status")
    status.field.add(name="code", number=1, type=Field.TYPE_INT32, label=Field.LABEL_OPTIONAL)
    status.field.add(name="message", number=2, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    status.field.add(
        name="details", number=3, type=Field.TYPE_MESSAGE, type_name=".google.protobuf.Any", label=Field.LABEL_REPEATED
    )
    info = file.message_type.add(name="RetryInfo")
    info.field.add(
        name="retry_delay",
        number=1,
        type=Field.TYPE_MESSAGE,
        type_name=".google.protobuf.Duration",
        label=Field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(duration_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    made = [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{n}")) for n in ("Status", "RetryInfo")
    ]
    return made[0], made[1]


STATUS, RETRY_INFO = definitions()


@pytest.mark.parametrize(
    ("seconds", "whole", "nanos"),
    [
        (0.0, 0, 1_000_000),
        (0.0001, 0, 1_000_000),
        (0.25, 0, 250_000_000),
        (0.2501, 0, 251_000_000),
        (1.0, 1, 0),
        (1.5, 1, 500_000_000),
        (90_061.001, 90_061, 1_000_000),
    ],
)
def test_protobuf_reads_the_very_bytes(seconds: float, whole: int, nanos: int) -> None:
    status = with_retry_info(Status(Code.RESOURCE_EXHAUSTED, "zu viele Anrufe, später"), seconds)
    assert (status.code, status.message) == (8, "zu viele Anrufe, später")
    read = STATUS.FromString(status.details or b"")
    assert (read.code, read.message) == (8, "zu viele Anrufe, später")  # type: ignore[attr-defined]
    [detail] = read.details  # type: ignore[attr-defined]
    assert detail.type_url == "type.googleapis.com/google.rpc.RetryInfo"
    delay = RETRY_INFO.FromString(detail.value).retry_delay  # type: ignore[attr-defined]
    assert (delay.seconds, delay.nanos) == (whole, nanos)
    assert read.SerializeToString(deterministic=True) == status.details


@pytest.mark.parametrize(("seconds", "value"), [(0.0, b"1"), (0.2501, b"251"), (90.0, b"90000")])
def test_pushback_says_the_same(seconds: float, value: bytes) -> None:
    assert pushback(seconds) == (b"grpc-retry-pushback-ms", value)
