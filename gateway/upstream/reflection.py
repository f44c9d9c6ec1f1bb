"""Asks a backend for its descriptors (grpc.reflection.v1alpha, which every gRPC language still serves)."""

import asyncio
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.upstream.channels import Channels

TIMEOUT = 10.0  # seconds for one backend, connecting included


class ReflectionError(Exception):
    """The backend cannot be asked; the message says why, for a person."""


async def reflect(name: str, channels: Channels) -> bytes:
    """The serialized FileDescriptorSet of all services of a backend, over `channels`, which are closed then. Raises
    ReflectionError.
    """
    try:
        return await _files(channels.take().aio)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            reason = "it has no server reflection; give a FileDescriptorSet file instead"
        else:
            reason = error.details() or error.code().name
        raise ReflectionError(f"upstream {name}: {reason}") from None
    except (ReflectionError, DecodeError) as error:
        raise ReflectionError(f"upstream {name}: {error}") from None
    except TimeoutError:
        raise ReflectionError(f"upstream {name}: no answer within {TIMEOUT:g} s") from None
    finally:
        await channels.close()


async def _files(channel: grpc.aio.Channel) -> bytes:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    found: dict[str, FileDescriptorProto] = {}
    async with asyncio.timeout(TIMEOUT):
        conversation = stub.ServerReflectionInfo(wait_for_ready=True)
        try:
            listing = await _ask(conversation, list_services="")
            for service in listing.list_services_response.service:
                reply = await _ask(conversation, file_containing_symbol=service.name)
                for serialized in reply.file_descriptor_response.file_descriptor_proto:
                    file = FileDescriptorProto.FromString(serialized)
                    found[file.name] = file
        finally:
            conversation.cancel()
    return FileDescriptorSet(file=found.values()).SerializeToString()


async def _ask(conversation: Any, **question: str) -> Any:
    await conversation.write(reflection_pb2.ServerReflectionRequest(**question))
    reply = await conversation.read()
    if reply is grpc.aio.EOF:
        raise ReflectionError("its reflection ended without an answer")
    return reply
