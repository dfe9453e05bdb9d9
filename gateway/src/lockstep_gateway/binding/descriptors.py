"""The HTTP rules and the options of methods, read from their descriptors.

The gateway reads a FileDescriptorSet with imports once, at start. It also makes the message
types from it, so it needs no generated code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from lockstep_gateway.binding.protojson import SPECIAL
from lockstep_gateway.binding.template import Template, parse
from protobuf import (
    DescField,
    DescFieldValueEnum,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    DescMethod,
    DescService,
    Message,
    Registry,
)
from protobuf.wkt import FileDescriptorSet

HTTP_RULE: Final = "google.api.http"
HTTP_BODY: Final = "google.api.HttpBody"
STATUS: Final = "google.rpc.Status"
WHOLE: Final = "*"
SERVICE_ACCESS: Final = "ACCESS_SERVICE"
PUBLIC_ACCESS: Final = "ACCESS_PUBLIC"
NO_SIDE_EFFECTS: Final = "NO_SIDE_EFFECTS"
WITHOUT_BODY: Final = (204, 205, 304)
PLACE: Final = re.compile(r"\{([a-z0-9_.]+)\}")
"""A field of the answer in the `location` of a method's options."""


# A method is a token (RFC 9110 9.1). A server answers CONNECT itself.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONNECT: Final = "CONNECT"


class DescriptorError(ValueError):
    """Say why descriptors cannot be served, in a line for each RPC that names it."""


class Refusals:
    """Collect the rules that cannot be served."""

    def __init__(self) -> None:
        self._reasons: dict[str, list[str]] = {}

    def refuse(self, rpc: str, reason: str) -> None:
        """Note that a rule of an RPC cannot be served."""
        self._reasons.setdefault(rpc, []).append(reason)

    def by_rpc(self) -> dict[str, str]:
        """Return the reasons by the name of the RPC."""
        return {rpc: "; ".join(reasons) for rpc, reasons in self._reasons.items()}

    def raise_any(self) -> None:
        """Raise DescriptorError if there is a rule that cannot be served."""
        lines = [f"{rpc}: {reason}" for rpc, reason in self.by_rpc().items()]
        if len(lines) > 1:
            lines.insert(0, f"{len(lines)} methods cannot be served")
        if lines:
            raise DescriptorError("\n  ".join(lines))


@dataclass(frozen=True, slots=True)
class MethodRule:
    """The options of a method; the defaults stand for a method without options.

    Attributes:
        access: The name of the enum's value, or "" for none.
        success_status: The HTTP status of a success.
        location: A path template over the response for the `Location` header, or "".
        takes_idempotency_key: Whether the method reads the `Idempotency-Key` header.
        cache_seconds: For how long everybody may keep the answer, which never changes; 0: not.
    """

    access: str = ""
    success_status: int = 200
    location: str = ""
    takes_idempotency_key: bool = False
    cache_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP method and path of an RPC.

    Attributes:
        method: The HTTP method.
        path: The path, as the rule has it.
        template: The path, parsed.
        body: The field of the request that is the body, or "*" or "".
        response_body: The field of the response that is the body, or "" for all of it.
    """

    method: str
    path: str
    template: Template
    body: str
    response_body: str = ""


@dataclass(frozen=True, slots=True)
class Rpc:
    """An RPC that is served over HTTP."""

    desc: DescMethod
    rule: MethodRule
    bindings: tuple[Binding, ...]

    @property
    def name(self) -> str:
        """`package.Service.Method`."""
        return f"{self.desc.parent.type_name}.{self.desc.name}"

    @property
    def path(self) -> str:
        """The gRPC path, `/package.Service/Method`."""
        return f"/{self.desc.parent.type_name}/{self.desc.name}"

    @property
    def is_stream(self) -> bool:
        """Whether the method answers with a stream."""
        return self.desc.method_kind == "server_streaming"

    @property
    def is_safe(self) -> bool:
        """Whether the method changes nothing, so that a repeat is harmless."""
        return self.desc.idempotency.name == NO_SIDE_EFFECTS


def load(data: bytes) -> Registry:
    """Read a serialised FileDescriptorSet with imports.

    Raises:
        DescriptorError: The data is not a FileDescriptorSet, or an import is missing.
    """
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(data)
        _add_status_types(files)
        for file in files.file:
            _name_fields(file.message_type)
        return FileDescriptorSet.from_binary(files.SerializeToString()).to_registry()
    except (DecodeError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise DescriptorError(
            "the descriptors are not a FileDescriptorSet with imports"
            f" (protoc --include_imports --descriptor_set_out): {error}"
        ) from error


def services(registry: Registry) -> list[DescService]:
    """List the services, in the order of the files."""
    return [each for each in registry if isinstance(each, DescService)]


def rpcs(
    registry: Registry,
    service: DescService,
    refusals: Refusals | None = None,
    method_option: str = "",
) -> Iterator[Rpc]:
    """Yield the methods of a service that have an HTTP rule.

    Args:
        registry: The descriptors.
        service: The service.
        refusals: Takes the rules that are invalid, or that the gateway does not support.
        method_option: The full name of the option that holds the rule of a method.

    Raises:
        DescriptorError: There is such a rule, and nothing takes it.
    """
    taken = Refusals() if refusals is None else refusals
    for method in service.methods:
        http = _option(registry, method, HTTP_RULE)
        if http is None:
            continue
        rpc = Rpc(method, _method_rule(_option(registry, method, method_option)), ())
        try:
            _refuse_unsupported(rpc)
        except ValueError as error:
            taken.refuse(rpc.name, str(error))
            continue
        bindings = tuple(_bindings(rpc, http, taken))
        if bindings:
            yield replace(rpc, bindings=bindings)
    if refusals is None:
        taken.raise_any()


def field_at(message: DescMessage, path: str) -> Sequence[DescField]:
    """Follow a path of proto names; return the field of each step.

    Raises:
        ValueError: There is no such field, or a step leads through a field that is not a message.
    """
    steps: list[DescField] = []
    for name in path.split("."):
        field = next((each for each in message.fields if each.name == name), None)
        if field is None:
            raise ValueError(f"`{path}` names no field: {message.type_name} has no `{name}`")
        steps.append(field)
        if len(steps) <= path.count("."):
            if not isinstance(field.value, DescFieldValueMessage):
                raise ValueError(f"`{path}` leads through `{name}`, which is not a message")
            message = field.value.message
    return steps


def body_message(message: DescMessage, binding: Binding) -> DescMessage | None:
    """Return the message that the body of a binding holds; None if it holds no message."""
    if binding.body in ("", WHOLE):
        return message if binding.body else None
    value = field_at(message, binding.body)[0].value
    return value.message if isinstance(value, DescFieldValueMessage) else None


def _option(registry: Registry, method: DescMethod, name: str) -> Message | None:
    extension = registry.extension(name)
    options = method.proto.options
    if extension is None or options is None or extension.type not in options:
        return None
    value: Message = options[extension.type]
    return value


def _method_rule(option: Any) -> MethodRule:
    if option is None:
        return MethodRule()
    return MethodRule(
        access=_access_name(option),
        success_status=getattr(option, "success_status", 0) or 200,
        location=getattr(option, "location", ""),
        takes_idempotency_key=getattr(option, "idempotency_key", False),
        cache_seconds=getattr(option, "cache_seconds", 0),
    )


def _access_name(option: Message) -> str:
    """Return the name in the proto: the codec's enum leaves out the prefix."""
    for field in option.desc().fields:
        if field.name == "access" and isinstance(field.value, DescFieldValueEnum):
            names = {value.number: value.name for value in field.value.enum.values}
            return names.get(int(option[field]), "")
    return ""


def _refuse_unsupported(rpc: Rpc) -> None:
    method = rpc.desc
    if not (rpc.is_stream or method.method_kind == "unary"):
        raise ValueError("streams of requests are not served over HTTP")
    if rpc.is_stream and rpc.rule.success_status in WITHOUT_BODY:
        raise ValueError(f"a stream cannot be answered with {rpc.rule.success_status}")
    if rpc.rule.access == SERVICE_ACCESS:
        raise ValueError("only services may call it, so it cannot have an HTTP rule")
    for place in PLACE.findall(rpc.rule.location):
        field_at(method.output, place)


def _bindings(rpc: Rpc, http: Any, refusals: Refusals) -> Iterator[Binding]:
    for rule in (http, *http.additional_bindings):
        if rule is not http and rule.additional_bindings:
            refusals.refuse(rpc.name, "additional bindings cannot hold additional bindings")
            continue
        try:
            yield _binding(rpc.desc, rule)
        except ValueError as error:
            refusals.refuse(rpc.name, str(error))


def _binding(method: DescMethod, http: Any) -> Binding:
    verb, path = _pattern(http)
    template = parse(path)
    for variable in template.variables:
        _check_variable(field_at(method.input, variable.field_path), variable.field_path)
    if http.body not in ("", WHOLE):
        _check_body(method.input, http.body, template)
    response_body = "" if http.response_body == WHOLE else http.response_body
    if response_body:
        _field_of(method.output, "response_body", response_body)
    return Binding(verb, path, template, http.body, response_body)


def _pattern(http: Any) -> tuple[str, str]:
    pattern = http.pattern
    if pattern is None:
        raise ValueError("the HTTP rule must have a path")
    if pattern.field == "custom":
        kind = pattern.value.kind
        if not _TOKEN.fullmatch(kind) or kind == CONNECT:
            raise ValueError("the custom HTTP rule must have a kind that is an HTTP method")
        return kind, pattern.value.path
    return pattern.field.upper(), pattern.value


def _check_variable(steps: Sequence[DescField], path: str) -> None:
    if not isinstance(steps[-1].value, DescFieldValueScalar | DescFieldValueEnum):
        raise ValueError(f"the variable `{path}` is repeated, a map or a message")
    for step in steps[:-1]:
        assert isinstance(step.value, DescFieldValueMessage)
        if step.value.message.type_name in SPECIAL:
            raise ValueError(f"`{path}` leads into {step.value.message.type_name}")


def _check_body(message: DescMessage, body: str, template: Template) -> None:
    _field_of(message, "body", body)
    if any(variable.field_path == body for variable in template.variables):
        raise ValueError(f"`{body}` is both the body and a variable of the path")


def _field_of(message: DescMessage, part: str, name: str) -> DescField:
    field = next((each for each in message.fields if each.name == name), None)
    if field is None:
        raise ValueError(f'`{part}: "{name}"` names no field of {message.type_name}')
    return field


def _add_status_types(files: descriptor_pb2.FileDescriptorSet) -> None:
    """Add the types of errors, which the descriptors need not import."""
    known = {file.name for file in files.file}
    for file in _with_imports([status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR]):
        if file.name not in known:
            file.CopyToProto(files.file.add())


def _with_imports(files: Sequence[FileDescriptor]) -> list[FileDescriptor]:
    ordered: dict[str, FileDescriptor] = {}
    for file in files:
        for each in (*_with_imports(file.dependencies), file):
            ordered.setdefault(each.name, each)
    return list(ordered.values())


def _name_fields(messages: Iterable[descriptor_pb2.DescriptorProto]) -> None:
    """Give fields their JSON names, which descriptors inside generated code leave out."""
    for message in messages:
        _name_fields(message.nested_type)
        for field in message.field:
            if not field.json_name:
                head, *tail = field.name.split("_")
                field.json_name = head + "".join(each[:1].upper() + each[1:] for each in tail)
