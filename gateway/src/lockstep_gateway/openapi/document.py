"""The OpenAPI 3.1 document of the served RPCs, from the same descriptors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from lockstep_gateway.binding.descriptors import (
    HTTP_BODY,
    PUBLIC_ACCESS,
    WHOLE,
    Binding,
    Rpc,
    body_message,
    field_at,
)
from lockstep_gateway.binding.protojson import SPECIAL, STRUCTS
from lockstep_gateway.http.conditions import checks_if_match
from lockstep_gateway.http.config import ApiInfo
from lockstep_gateway.http.messages import NO_CONTENT
from lockstep_gateway.http.negotiation import EVENTS, LINES
from lockstep_gateway.openapi import paths
from lockstep_gateway.openapi.comments import read_comments, summary
from lockstep_gateway.openapi.errors import ERROR_SCHEMAS, ERROR_STATUSES, error_responses
from lockstep_gateway.openapi.info import info_object
from lockstep_gateway.openapi.names import UniqueNames, camel, pascal
from lockstep_gateway.openapi.paths import PathParameter
from lockstep_gateway.openapi.schemas import REFERENCE, Mode, Schema, Schemas
from lockstep_gateway.openapi.visibility import Visibility
from protobuf import (
    DescField,
    DescFieldValueList,
    DescFieldValueMessage,
    DescMessage,
    DescService,
    Registry,
)

OPENAPI: Final = "3.1.0"
METHODS: Final = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
EVERY_METHOD: Final = ("GET", "PUT", "POST", "DELETE", "PATCH")
JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"
STREAM: Final = (
    "\n\nThis is a stream. Each line is a message in JSON, as the schema says. With"
    " `Accept: text/event-stream` each message is the data of an event. If the stream fails, its"
    ' last line is `{"error": ...}` with the status, or its last event is `error` with the status.'
)
BINARY: Final = {"type": "string", "format": "binary"}
OWN_SERVERS: Final = [{"url": "/"}]
NESTING_MAX: Final = 3
"""The deepest messages whose fields are listed as query parameters."""

BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "Makes it safe to send the request again: the same key and request are answered with"
        " the first answer."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
# Of an API without access rules the gateway does not know which methods need a token.
SECURITY: Final[dict[str, list[dict[str, list[str]]]]] = {
    PUBLIC_ACCESS: [],
    "": [{}, {"bearer": []}],
}
IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "description": "Change the resource only if its ETag is one of these; otherwise answer 412.",
    "schema": {"type": "string", "minLength": 1},
}
HEADERS: Final = {
    "X-Request-Id": {"description": "Identifies the request.", "schema": {"type": "string"}},
    "Location": {"description": "Where the new resource is.", "schema": {"type": "string"}},
    "ETag": {"description": "Identifies the resource's state.", "schema": {"type": "string"}},
}


def document(
    registry: Registry,
    rpcs: Sequence[Rpc],
    *,
    title: str,
    info: ApiInfo | None = None,
    ignore_unknown: bool = False,
    labels: Collection[str] = (),
) -> dict[str, Any]:
    """Return the document.

    Args:
        registry: The descriptors.
        rpcs: The RPCs that are served.
        title: The name of the API, unless `info` has one.
        info: Facts about the API that are not in the descriptors.
        ignore_unknown: Whether bodies may have unknown fields.
        labels: The labels of `google.api.visibility` whose elements are shown, too.
    """
    facts, visibility = info or ApiInfo(), Visibility(registry, labels)
    shown = visibility.rpcs(rpcs)
    return {
        "openapi": OPENAPI,
        "info": info_object(facts, title, shown),
        "servers": [{"url": each} for each in facts.servers or ("/",)],
        **_Document(registry, shown, visibility, ignore_unknown=ignore_unknown).write(),
    }


class _Document:
    def __init__(
        self,
        registry: Registry,
        rpcs: Sequence[Rpc],
        visibility: Visibility,
        *,
        ignore_unknown: bool,
    ) -> None:
        self._rpcs = rpcs
        self._visibility = visibility
        self._comments = read_comments(registry)
        self._schemas = Schemas(registry, visibility, self._comments, ignore_unknown=ignore_unknown)
        self._paths: dict[str, dict[str, Any]] = {}
        self._ids = UniqueNames()
        self._tag_names = UniqueNames()
        self._parameters = _parameters_by_shape(rpcs)
        self._statuses: set[str] = set()

    def write(self) -> dict[str, Any]:
        for rpc in self._rpcs:
            for index, binding in enumerate(rpc.bindings):
                self._add(rpc, binding, index)
        components: dict[str, Any] = {
            "schemas": {**ERROR_SCHEMAS, **self._schemas.made},
            "responses": error_responses(self._statuses),
        }
        if any(rpc.rule.access != PUBLIC_ACCESS for rpc in self._rpcs):
            components["securitySchemes"] = {"bearer": BEARER}
        return {
            "tags": self._tags(),
            "paths": self._paths,
            "components": components,
        }

    def _tags(self) -> list[dict[str, str]]:
        services = {rpc.desc.parent.type_name: rpc.desc.parent for rpc in self._rpcs}
        return [
            {"name": self._tag(each), "description": self._comments.get(name, each.name)}
            for name, each in services.items()
        ]

    def _tag(self, service: DescService) -> str:
        return self._tag_names.of(service.type_name, service.name, pascal(service.type_name))

    def _id(self, rpc: Rpc, suffix: str) -> str:
        short = f"{rpc.desc.parent.name}_{rpc.desc.name}{suffix}"
        return self._ids.of(f"{rpc.name} {suffix}", short, pascal(rpc.name) + suffix)

    def _add(self, rpc: Rpc, binding: Binding, index: int) -> None:
        path, path_parameters = self._path(rpc, binding)
        item = self._paths.setdefault(path, {})
        for method in EVERY_METHOD if binding.method == "*" else (binding.method,):
            suffix = f"_{index + 1}" if index else ""
            if binding.method == "*":
                suffix += f"_{method.lower()}"
            operation = self._operation(rpc, binding, self._id(rpc, suffix), path_parameters)
            # OpenAPI 3.1 takes other methods only as extensions.
            key = method.lower() if method in METHODS else f"x-{method.lower()}"
            item.setdefault(key, operation)

    def _operation(
        self, rpc: Rpc, binding: Binding, name: str, path_parameters: list[Schema]
    ) -> dict[str, Any]:
        comment = self._comments.get(rpc.name, "")
        operation: dict[str, Any] = {
            "operationId": name,
            "tags": [self._tag(rpc.desc.parent)],
            "summary": summary(comment) or rpc.desc.name,
            "description": comment or rpc.desc.name,
            "parameters": [*path_parameters, *self._other_parameters(rpc, binding)],
        }
        if binding.body:
            operation["requestBody"] = self._body(rpc, binding)
        operation["responses"] = self._responses(rpc, binding)
        operation["security"] = SECURITY.get(rpc.rule.access, [{"bearer": []}])
        operation["x-path-template"] = binding.path
        if rpc.desc.deprecated:
            operation["deprecated"] = True
        return operation

    def _path(self, rpc: Rpc, binding: Binding) -> tuple[str, list[Schema]]:
        """Write the path of a binding, and its parameters."""
        held = self._parameters[paths.shape(binding)]
        taken = {name for each, _ in held for name in self._query_names(*each)}
        names = paths.choose_names([parameters for _, parameters in held], taken)
        own = paths.parameters(rpc.desc.input, binding)
        parameters = [
            self._path_parameter(name, each) for name, each in zip(names, own, strict=True)
        ]
        return paths.named(binding, names), parameters

    def _path_parameter(self, name: str, parameter: PathParameter) -> Schema:
        schema: Schema = {"type": "string"}
        description = "A segment of the path."
        if parameter.steps:
            schema = self._schemas.field(parameter.steps[-1], Mode.INPUT)
            description = self._comment(parameter.steps[-1])
        if parameter.holds_slashes:
            description += " May hold slashes."
        elif schema.get("type") == "string":
            schema["minLength"] = 1
        return {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": schema,
        }

    def _query_names(self, rpc: Rpc, binding: Binding) -> Iterator[str]:
        for name, _ in self._query_fields(rpc, binding):
            yield camel(name.split("."))

    def _query_fields(self, rpc: Rpc, binding: Binding) -> Iterator[tuple[str, DescField]]:
        """Yield the fields that a query may hold, with their names there."""
        if binding.body != WHOLE:
            taken = {each.field_path for each in binding.template.variables} | {binding.body}
            yield from _fields_below(rpc.desc.input, taken, self._visibility)

    def _comment(self, field: DescField) -> str:
        return self._comments.get(f"{field.parent.type_name}.{field.name}", field.json_name)

    def _other_parameters(self, rpc: Rpc, binding: Binding) -> Iterator[Schema]:
        for name, field in self._query_fields(rpc, binding):
            required = "REQUIRED" in self._schemas.behaviors(field) and "." not in name
            yield {
                "name": name,
                "in": "query",
                "required": required,
                "description": self._comment(field),
                "schema": self._schemas.field(field, Mode.INPUT),
            }
        if rpc.rule.takes_idempotency_key:
            yield dict(IDEMPOTENCY_KEY)
        if checks_if_match(rpc.desc.input, binding):
            yield dict(IF_MATCH)

    def _body(self, rpc: Rpc, binding: Binding) -> Schema:
        part = body_message(rpc.desc.input, binding)
        if part is not None and part.type_name == HTTP_BODY:
            # Any type will do. Generators refuse "*/*".
            return {"required": False, "content": {OCTETS: {"schema": BINARY}}}
        mode = Mode.PATCH if binding.method == "PATCH" else Mode.INPUT
        schema = self._body_schema(rpc.desc.input, binding, mode)
        target = schema
        if "$ref" in schema:
            target = self._schemas.made[schema["$ref"].removeprefix(REFERENCE)]
        return {"required": bool(target.get("required")), "content": {JSON: {"schema": schema}}}

    def _body_schema(self, message: DescMessage, binding: Binding, mode: Mode) -> Schema:
        paths = [field_at(message, each.field_path) for each in binding.template.variables]
        if binding.body == WHOLE:
            # The body need not repeat the fields of the path.
            in_path = frozenset(steps[0].json_name for steps in paths if len(steps) == 1)
            if in_path:
                return self._schemas.object(message, mode, in_path)
            return self._schemas.reference(message, mode)
        field = field_at(message, binding.body)[0]
        inner = frozenset(
            steps[1].json_name for steps in paths if steps[0] is field and len(steps) > 1
        )
        if inner and isinstance(field.value, DescFieldValueMessage):
            return self._schemas.object(field.value.message, mode, inner)
        return self._schemas.described(field, mode)

    def _responses(self, rpc: Rpc, binding: Binding) -> dict[str, Any]:
        output = rpc.desc.output
        headers = {"X-Request-Id": HEADERS["X-Request-Id"]}
        if rpc.rule.location:
            headers["Location"] = HEADERS["Location"]
        if any(field.name == "etag" for field in output.fields):
            headers["ETag"] = HEADERS["ETag"]
        success: dict[str, Any] = {"description": self._success(output), "headers": headers}
        if rpc.rule.success_status not in NO_CONTENT:
            success["content"] = self._content(output, binding.response_body)
        if rpc.is_stream and JSON in success["content"]:
            success["description"] += STREAM
            success["content"] = _as_stream(success["content"][JSON])
        never = {401, 403} if rpc.rule.access == PUBLIC_ACCESS else set[int]()
        if not checks_if_match(rpc.desc.input, binding):
            never.add(412)
        statuses = [str(each) for each in ERROR_STATUSES if each not in never]
        self._statuses.update(statuses)
        errors = {each: {"$ref": f"#/components/responses/{each}"} for each in statuses}
        default = {"default": {"$ref": "#/components/responses/default"}}
        return {str(rpc.rule.success_status): success, **errors, **default}

    def _content(self, output: DescMessage, part: str) -> dict[str, Any]:
        field = field_at(output, part)[0] if part else None
        shown = output if field is None else _message_in(field)
        if shown is not None and shown.type_name == HTTP_BODY:
            # The service chooses the real type. Generators refuse "*/*".
            return {OCTETS: {"schema": BINARY}}
        if field is not None:
            return {JSON: {"schema": self._schemas.field(field, Mode.OUTPUT)}}
        return {JSON: {"schema": self._schemas.reference(output, Mode.OUTPUT)}}

    def _success(self, message: DescMessage) -> str:
        return summary(self._comments.get(message.type_name, "")) or message.name


def _as_stream(message: Schema) -> dict[str, Any]:
    """Describe a stream by one of its messages. OpenAPI 3.1 has no schema of a sequence."""
    return {LINES: message, EVENTS: {"schema": {"type": "string"}}}


def _parameters_by_shape(
    rpcs: Sequence[Rpc],
) -> dict[str, list[tuple[tuple[Rpc, Binding], list[PathParameter]]]]:
    """Return the bindings of each path with their parameters, which share their names."""
    found: dict[str, list[tuple[tuple[Rpc, Binding], list[PathParameter]]]] = {}
    for rpc in rpcs:
        for binding in rpc.bindings:
            parameters = list(paths.parameters(rpc.desc.input, binding))
            found.setdefault(paths.shape(binding), []).append(((rpc, binding), parameters))
    return found


def _fields_below(
    message: DescMessage,
    taken: set[str],
    visibility: Visibility,
    *,
    prefix: str = "",
    shown: str = "",
    above: tuple[str, ...] = (),
) -> Iterator[tuple[str, DescField]]:
    for field in visibility.fields(message):
        path, name = f"{prefix}{field.name}", f"{shown}{field.json_name}"
        if path in taken or (not above and field.name in taken):
            continue
        inner = _plain_message(field)
        if inner is not None:
            # A message may hold its own type: the list must end.
            way = (*above, message.type_name)
            if inner.type_name not in way and len(way) <= NESTING_MAX:
                yield from _fields_below(
                    inner, taken, visibility, prefix=f"{path}.", shown=f"{name}.", above=way
                )
        elif _fits_in_query(field):
            yield name, field


def _message_in(field: DescField) -> DescMessage | None:
    return field.value.message if isinstance(field.value, DescFieldValueMessage) else None


def _plain_message(field: DescField) -> DescMessage | None:
    value = field.value
    if isinstance(value, DescFieldValueMessage) and value.message.type_name not in SPECIAL:
        return value.message
    return None


def _fits_in_query(field: DescField) -> bool:
    value: Any = field.value
    held = (
        value.element if isinstance(value, DescFieldValueList) else getattr(value, "message", None)
    )
    if isinstance(held, DescMessage):
        return held.type_name in SPECIAL and held.type_name not in (*STRUCTS, "google.protobuf.Any")
    return hasattr(value, "scalar") or hasattr(value, "enum") or held is not None
