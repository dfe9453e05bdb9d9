"""Server reflection (gRPC's own service) in both of its versions.

grpcio-reflection has the older one alone. Their messages are equal on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio
from lockstep.errors.v1 import error_reason_pb2

OLD: Final = "grpc.reflection.v1alpha"
NEW: Final = "grpc.reflection.v1"
SERVICE: Final = "ServerReflection"
NAMES: Final = (f"{OLD}.{SERVICE}", f"{NEW}.{SERVICE}")

# No service uses the reasons of errors in its messages, but callers ask for their list.
DESCRIBED: Final = (error_reason_pb2.DESCRIPTOR,)


class PoolWithMethods:
    """The descriptors of the process, where the file of a method can be found, too.

    Args:
        pool: The descriptors. By itself it finds services, but not their methods.
    """

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - as the pool
        """Return the file in which something is declared.

        Raises:
            KeyError: No file declares it.
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            return (
                self._pool.FindServiceByName(service)
                .methods_by_name[method]
                .containing_service.file
            )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def handlers(services: Sequence[str]) -> list[grpc.GenericRpcHandler]:
    """Return the handlers of both versions for a server with these services."""
    _describe_new()
    pool = PoolWithMethods(descriptor_pool.Default())
    servicer = aio.ReflectionServicer([*services, *NAMES], pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    return [grpc.method_handlers_generic_handler(name, methods) for name in NAMES]


def _describe_new() -> None:
    """Make the newer service known, so that callers can have it described."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = NEW
    for field in (field for message in file.message_type for field in message.field):
        if field.type_name:
            field.type_name = field.type_name.replace(OLD, NEW)
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(OLD, NEW)
        method.output_type = method.output_type.replace(OLD, NEW)
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(file.name)
    except KeyError:
        pool.AddSerializedFile(file.SerializeToString())
