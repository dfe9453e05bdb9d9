"""Server reflection: an upstream tells which services it has, and describes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2
from lockstep_gateway.http.channels import channel_options
from lockstep_gateway.http.upstream import Upstream, open_channel

# Their messages are equal on the wire.
VERSIONS: Final = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
METHOD: Final = "/{}.ServerReflection/ServerReflectionInfo"
HELPERS: Final = ("grpc.reflection.", "grpc.health.", "grpc.channelz.")
"""The services that every server may have, which nobody wants to call over HTTP."""
FILES_MAX: Final = 10_000
REMEDY: Final = "turn on server reflection there, or give --descriptors"

# gRPC says INTERNAL if the refusal comes while the request is being written.
_NOT_THERE: Final = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)

Request = reflection_pb2.ServerReflectionRequest
Response = reflection_pb2.ServerReflectionResponse


class ReflectionError(Exception):
    """Say in a few words why an upstream could not be asked."""


@dataclass(frozen=True, slots=True)
class Described:
    """The services of an upstream, and the files that describe them."""

    services: tuple[str, ...]
    files: tuple[FileDescriptorProto, ...]


async def describe(upstream: Upstream, *, seconds: float) -> Described:
    """Ask an upstream for its services.

    Args:
        upstream: The upstream.
        seconds: The longest time of all answers together.

    Raises:
        ReflectionError: It cannot be asked now.
        UpstreamError: Its target is malformed.
    """
    channel = open_channel(upstream, channel_options())
    try:
        async with asyncio.timeout(seconds):
            return await _describe(channel)
    except TimeoutError:
        raise ReflectionError(f"it did not answer within {seconds:g} s") from None
    except grpc.aio.AioRpcError as error:
        raise ReflectionError(_reason(error)) from None
    finally:
        await channel.close()


async def _describe(channel: grpc.aio.Channel) -> Described:
    *newer, oldest = VERSIONS
    for version in newer:
        try:
            return await _ask(channel, version)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _NOT_THERE:
                raise
    return await _ask(channel, oldest)


async def _ask(channel: grpc.aio.Channel, version: str) -> Described:
    async with _conversation(channel, METHOD.format(version)) as conversation:
        listed = await conversation.ask(Request(list_services="*"))
        names = [each.name for each in listed.list_services_response.service]
        names = [each for each in names if not each.startswith(HELPERS)]
        for name in names:
            await conversation.learn(Request(file_containing_symbol=name))
        while missing := conversation.missing():
            for file in missing:
                await conversation.learn(Request(file_by_filename=file))
        return Described(tuple(names), tuple(conversation.files.values()))


class _Conversation:
    def __init__(self, call: Any) -> None:
        self._call = call
        self.files: dict[str, FileDescriptorProto] = {}

    async def ask(self, request: Request) -> Response:
        """Send a request and read its answer."""
        await self._call.write(request)
        answer = await self._call.read()
        if not isinstance(answer, Response):
            await self._call.code()  # An error of the call is raised by now.
            raise ReflectionError("it ended the answers too early")
        return answer

    async def learn(self, request: Request) -> None:
        """Ask for a file; the answer may have more."""
        answer = await self.ask(request)
        found = list(answer.file_descriptor_response.file_descriptor_proto)
        if not found and (known := _known_file(request.file_by_filename)) is not None:
            found = [known]
        if not found:
            wanted = request.file_by_filename or request.file_containing_symbol
            raise ReflectionError(f"it does not describe {wanted}")
        for file in _parsed(found):
            self.files.setdefault(file.name, file)
        if len(self.files) > FILES_MAX:
            raise ReflectionError(f"it describes more than {FILES_MAX} files")

    def missing(self) -> list[str]:
        """Return the imports that nobody has described yet."""
        imports = {each for file in self.files.values() for each in file.dependency}
        return sorted(imports - self.files.keys())


@asynccontextmanager
async def _conversation(channel: grpc.aio.Channel, path: str) -> AsyncIterator[_Conversation]:
    method = channel.stream_stream(
        path,
        request_serializer=Request.SerializeToString,
        response_deserializer=Response.FromString,
    )
    call = method()
    try:
        yield _Conversation(call)
    finally:
        call.cancel()


def _parsed(files: Iterable[bytes]) -> list[FileDescriptorProto]:
    try:
        return [FileDescriptorProto.FromString(each) for each in files]
    except DecodeError:
        raise ReflectionError("it sends descriptors that cannot be read") from None


def _known_file(name: str) -> bytes | None:
    """Return a file that this process has: some servers leave out what they import."""
    try:
        found = descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        return None
    file = descriptor_pb2.FileDescriptorProto()
    found.CopyToProto(file)
    return file.SerializeToString()


def _reason(error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return f"it has no server reflection: {REMEDY}"
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return "it cannot be reached"
    return f"server reflection failed there with {error.code().name}: {REMEDY}"
