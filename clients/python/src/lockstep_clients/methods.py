"""The facts about each method that a caller needs, read from the descriptors."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto, MethodOptions
from lockstep.options.v1 import options_pb2 as options_pb

DEFAULT_TIMEOUT_SECONDS = 5.0
USER_ACCESS = (options_pb.ACCESS_USER, options_pb.ACCESS_ADMIN)


@dataclass(frozen=True, slots=True)
class Method:
    """A method.

    Attributes:
        service: The full name of its service, such as `lockstep.auth.v1.AuthService`.
        is_safe: Whether it changes nothing, so that a repeat is harmless.
        takes_idempotency_key: Whether a key makes a repeat harmless.
        admits_api_keys: Whether an API key may call it: it needs a user, but no person.
        timeout_seconds: The most that a call may take.
    """

    service: str
    name: str
    is_safe: bool
    takes_idempotency_key: bool
    admits_api_keys: bool
    timeout_seconds: float

    @property
    def path(self) -> str:
        """The method as gRPC spells it: `/<package>.<service>/<method>`."""
        return f"/{self.service}/{self.name}"


@cache
def methods() -> Mapping[str, Method]:
    """Return every Lockstep method by its path."""
    found = (
        _method(f"{file.package}.{service.name}", method)
        for file in descriptors().file
        for service in file.service
        for method in service.method
    )
    return MappingProxyType({method.path: method for method in found})


def descriptors() -> FileDescriptorSet:
    """Read the descriptors of all protos, with their imports and comments."""
    content = files("lockstep_clients").joinpath("lockstep.binpb").read_bytes()
    return FileDescriptorSet.FromString(content)


def _method(service: str, method: MethodDescriptorProto) -> Method:
    rule = method.options.Extensions[options_pb.method]
    return Method(
        service=service,
        name=method.name,
        is_safe=method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
        takes_idempotency_key=rule.idempotency_key,
        admits_api_keys=rule.access in USER_ACCESS and not rule.person,
        timeout_seconds=rule.deadline_ms / 1000 if rule.deadline_ms else DEFAULT_TIMEOUT_SECONDS,
    )
