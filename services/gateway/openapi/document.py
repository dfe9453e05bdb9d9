"""The OpenAPI 3.1 document of the served RPCs, from the same descriptors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protobuf import DescField, DescFieldValueList, DescFieldValueMessage, DescMessage, Registry

from services.gateway.binding.descriptors import PUBLIC_ACCESS, WHOLE, Binding, Rpc, field_at
from services.gateway.binding.protojson import SPECIAL, STRUCTS
from services.gateway.binding.template import Wildcard
from services.gateway.http.messages import NO_CONTENT
from services.gateway.openapi.comments import read_comments, summary
from services.gateway.openapi.errors import ERROR_SCHEMAS, ERROR_STATUSES, error_responses
from services.gateway.openapi.schemas import REFERENCE, Mode, Schema, Schemas

OPENAPI: Final = "3.1.0"
METHODS: Final = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
EVERY_METHOD: Final = ("GET", "PUT", "POST", "DELETE", "PATCH")
JSON: Final = "application/json"
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
HEADERS: Final = {
    "X-Request-Id": {"description": "Identifies the request.", "schema": {"type": "string"}},
    "Location": {"description": "Where the new resource is.", "schema": {"type": "string"}},
    "ETag": {"description": "Identifies the resource's state.", "schema": {"type": "string"}},
}


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A field that a path takes."""

    name: str
    field: DescField


def document(
    registry: Registry, rpcs: Sequence[Rpc], *, title: str, ignore_unknown: bool = False
) -> dict[str, Any]:
    """Return the document.

    Args:
        registry: The descriptors.
        rpcs: The RPCs that are served.
        title: The name of the API.
        ignore_unknown: Whether bodies may have unknown fields.
    """
    return _Document(registry, rpcs, ignore_unknown=ignore_unknown).write(title)


class _Document:
    def __init__(self, registry: Registry, rpcs: Sequence[Rpc], *, ignore_unknown: bool) -> None:
        self._rpcs = rpcs
        self._comments = read_comments(registry)
        self._schemas = Schemas(registry, self._comments, ignore_unknown=ignore_unknown)
        self._paths: dict[str, dict[str, Any]] = {}
        self._names: dict[str, list[str]] = {}

    def write(self, title: str) -> dict[str, Any]:
        for rpc in self._rpcs:
            for index, binding in enumerate(rpc.bindings):
                self._add(rpc, binding, index)
        return {
            "openapi": OPENAPI,
            "info": {"title": title, "version": "v1"},
            "servers": [{"url": "/"}],
            "tags": self._tags(),
            "paths": self._paths,
            "components": {
                "schemas": {**ERROR_SCHEMAS, **self._schemas.made},
                "responses": error_responses(),
                "securitySchemes": {"bearer": BEARER},
            },
        }

    def _tags(self) -> list[dict[str, str]]:
        services = {rpc.desc.parent.type_name: rpc.desc.parent.name for rpc in self._rpcs}
        return [
            {"name": short, "description": self._comments.get(full, short)}
            for full, short in services.items()
        ]

    def _add(self, rpc: Rpc, binding: Binding, index: int) -> None:
        path, path_parameters = self._path(rpc, binding)
        item = self._paths.setdefault(path, {})
        for method in EVERY_METHOD if binding.method == "*" else (binding.method,):
            suffix = f"_{index + 1}" if index else ""
            if binding.method == "*":
                suffix += f"_{method.lower()}"
            name = f"{rpc.desc.parent.name}_{rpc.desc.name}{suffix}"
            operation = self._operation(rpc, binding, name, path_parameters)
            # OpenAPI 3.1 takes other methods only as extensions.
            key = method.lower() if method in METHODS else f"x-{method.lower()}"
            item.setdefault(key, operation)

    def _operation(
        self, rpc: Rpc, binding: Binding, name: str, path_parameters: list[Schema]
    ) -> dict[str, Any]:
        comment = self._comments.get(rpc.name, "")
        operation: dict[str, Any] = {
            "operationId": name,
            "tags": [rpc.desc.parent.name],
            "summary": summary(comment) or rpc.desc.name,
            "description": comment or rpc.desc.name,
            "parameters": [*path_parameters, *self._other_parameters(rpc, binding)],
        }
        if binding.body:
            operation["requestBody"] = self._body(rpc, binding)
        operation["responses"] = self._responses(rpc)
        if rpc.rule.access not in ("", PUBLIC_ACCESS):
            operation["security"] = [{"bearer": []}]
        if rpc.desc.deprecated:
            operation["deprecated"] = True
        return operation

    def _path(self, rpc: Rpc, binding: Binding) -> tuple[str, list[Schema]]:
        """Write the template in the form of OpenAPI: every wildcard is a parameter.

        Paths that differ only in the names of their parameters are one path there. The
        first path decides the names.
        """
        owners = list(_owners(rpc.desc.input, binding))
        wildcards = [each for each in binding.template.segments if isinstance(each, Wildcard)]
        shape = _joined(binding, ["*"] * len(wildcards))
        names = self._names.setdefault(shape, _parameter_names(owners))
        parameters = [
            self._path_parameter(name, owner, wildcard)
            for name, owner, wildcard in zip(names, owners, wildcards, strict=True)
        ]
        return _joined(binding, [f"{{{name}}}" for name in names]), parameters

    def _path_parameter(self, name: str, owner: _Parameter | None, wildcard: Wildcard) -> Schema:
        schema: Schema = {"type": "string"}
        parameter: Schema = {"name": name, "in": "path", "required": True, "schema": schema}
        if owner is not None:
            schema = parameter["schema"] = self._schemas.field(owner.field, Mode.INPUT)
            parameter["description"] = self._comment(owner.field)
        if schema.get("type") == "string" and not wildcard.rest:
            schema["minLength"] = 1
        if wildcard.rest:
            parameter["description"] = (
                f"{parameter.get('description', '')} May hold slashes."
            ).strip()
        return parameter

    def _comment(self, field: DescField) -> str:
        return self._comments.get(f"{field.parent.type_name}.{field.name}", field.json_name)

    def _other_parameters(self, rpc: Rpc, binding: Binding) -> Iterator[Schema]:
        if binding.body != WHOLE:
            taken = {each.field_path for each in binding.template.variables} | {binding.body}
            for name, field in _query_fields(rpc.desc.input, taken):
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

    def _body(self, rpc: Rpc, binding: Binding) -> Schema:
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

    def _responses(self, rpc: Rpc) -> dict[str, Any]:
        output = rpc.desc.output
        headers = {"X-Request-Id": HEADERS["X-Request-Id"]}
        if rpc.rule.location:
            headers["Location"] = HEADERS["Location"]
        if any(field.name == "etag" for field in output.fields):
            headers["ETag"] = HEADERS["ETag"]
        success: dict[str, Any] = {"description": self._success(output), "headers": headers}
        if rpc.rule.success_status not in NO_CONTENT:
            schema = self._schemas.reference(output, Mode.OUTPUT)
            success["content"] = {JSON: {"schema": schema}}
        is_open = rpc.rule.access in ("", PUBLIC_ACCESS)
        statuses = [each for each in ERROR_STATUSES if not (is_open and each in (401, 403))]
        errors = {str(each): {"$ref": f"#/components/responses/{each}"} for each in statuses}
        default = {"default": {"$ref": "#/components/responses/default"}}
        return {str(rpc.rule.success_status): success, **errors, **default}

    def _success(self, message: DescMessage) -> str:
        return summary(self._comments.get(message.type_name, "")) or message.name


def _owners(message: DescMessage, binding: Binding) -> Iterator[_Parameter | None]:
    """Yield the field of each wildcard of a template; None for one outside of variables."""
    for index, segment in enumerate(binding.template.segments):
        if not isinstance(segment, Wildcard):
            continue
        variable = binding.template.variable_at(index)
        if variable is None:
            yield None
        else:
            steps = field_at(message, variable.field_path)
            yield _Parameter(".".join(each.json_name for each in steps), steps[-1])


def _parameter_names(owners: Sequence[_Parameter | None]) -> list[str]:
    wanted = [owner.name if owner else "segment" for owner in owners]
    names: list[str] = []
    for index, name in enumerate(wanted):
        count = wanted[: index + 1].count(name)
        names.append(name if wanted.count(name) == 1 else f"{name}_{count}")
    return names


def _joined(binding: Binding, parameters: Sequence[str]) -> str:
    rest = iter(parameters)
    segments = [
        next(rest) if isinstance(each, Wildcard) else each for each in binding.template.segments
    ]
    verb = f":{binding.template.verb}" if binding.template.verb else ""
    return f"/{'/'.join(segments)}{verb}"


def _query_fields(
    message: DescMessage,
    taken: set[str],
    prefix: str = "",
    shown: str = "",
    above: tuple[str, ...] = (),
) -> Iterator[tuple[str, DescField]]:
    for field in message.fields:
        path, name = f"{prefix}{field.name}", f"{shown}{field.json_name}"
        if path in taken or (not above and field.name in taken):
            continue
        inner = _plain_message(field)
        if inner is not None:
            # A message may hold its own type: the list must end.
            way = (*above, message.type_name)
            if inner.type_name not in way and len(way) <= NESTING_MAX:
                yield from _query_fields(inner, taken, f"{path}.", f"{name}.", way)
        elif _fits_in_query(field):
            yield name, field


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
