"""JSON Schemas of messages in their ProtoJSON form (OpenAPI 3.1 is JSON Schema 2020-12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from itertools import combinations
from typing import Any, Final

from lockstep_gateway.binding.protojson import NULL_VALUE, WRAPPERS
from lockstep_gateway.binding.scalars import RANGES
from lockstep_gateway.openapi.errors import ERROR_SCHEMAS
from lockstep_gateway.openapi.names import UniqueNames, pascal
from lockstep_gateway.openapi.visibility import Visibility
from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    DescOneof,
    Registry,
    ScalarType,
)

Schema = dict[str, Any]

FIELD_BEHAVIOR: Final = "google.api.field_behavior"
REFERENCE: Final = "#/components/schemas/"

_WIDE: Final = {
    ScalarType.INT64, ScalarType.SINT64, ScalarType.SFIXED64, ScalarType.UINT64, ScalarType.FIXED64,
}  # fmt: skip
_PLAIN: Final[Mapping[ScalarType, Schema]] = {
    ScalarType.DOUBLE: {"type": "number", "format": "double"},
    ScalarType.FLOAT: {"type": "number", "format": "float"},
    ScalarType.BOOL: {"type": "boolean"},
    ScalarType.STRING: {"type": "string"},
    ScalarType.BYTES: {"type": "string", "contentEncoding": "base64", "examples": ["aGVsbG8="]},
}
_WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        "examples": ["2026-01-31T12:00:00Z"],
    },
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["1.5s"],
    },
    "google.protobuf.FieldMask": {
        "type": "string",
        "description": "Names of fields, separated by commas.",
        "examples": ["displayName,address.city"],
    },
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {"description": "Any JSON value."},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string", "description": "The URL of the type."}},
        "required": ["@type"],
        "additionalProperties": True,
    },
}


class Mode(Enum):
    """The use of a schema: responses, requests, or requests that change a part of a resource."""

    OUTPUT = ""
    INPUT = "Input"
    PATCH = "Patch"


@dataclass(frozen=True, slots=True, eq=False)
class Schemas:
    """Make the schema of each message in use, once for each mode.

    Attributes:
        registry: The descriptors, with the options of fields.
        visibility: Tells which fields and values are shown.
        comments: The comments by full name.
        ignore_unknown: Whether requests may have unknown fields.
        made: The schemas so far, by name.
    """

    registry: Registry
    visibility: Visibility
    comments: Mapping[str, str]
    _: KW_ONLY
    ignore_unknown: bool
    made: dict[str, Schema] = field(default_factory=dict, init=False)
    _names: UniqueNames = field(default_factory=lambda: UniqueNames(ERROR_SCHEMAS), init=False)

    def reference(self, message: DescMessage, mode: Mode) -> Schema:
        """Return a reference to a message's schema, or the schema of a special JSON form."""
        if message.type_name in WRAPPERS:
            return self.field(message.fields[0], mode)
        known = _WELL_KNOWN.get(message.type_name)
        if known is not None:
            return dict(known)
        name = self._name(message.type_name, _nested_name(message), mode)
        if name not in self.made:
            self.made[name] = {}
            self.made[name] = self.object(message, mode)
        return {"$ref": REFERENCE + name}

    def object(
        self, message: DescMessage, mode: Mode, without: frozenset[str] = frozenset()
    ) -> Schema:
        """Return the schema of a message, written out, without some of its fields (JSON names)."""
        shown = self.visibility.fields(message)
        fields = [field for field in shown if field.json_name not in without]
        schema: Schema = {"type": "object"}
        if comment := self.comments.get(message.type_name):
            schema["description"] = comment
        schema["properties"] = {each.json_name: self.described(each, mode) for each in fields}
        required = [each.json_name for each in fields if self._is_required(each, mode)]
        if required:
            schema["required"] = required
        if mode is not Mode.OUTPUT:
            if not self.ignore_unknown:
                schema["additionalProperties"] = False
            _exclude_siblings(schema, message, shown)
        return schema

    def described(self, field: DescField, mode: Mode) -> Schema:
        """Return the schema of a field with its comment."""
        schema = self.field(field, mode)
        comment = self.comments.get(f"{field.parent.type_name}.{field.name}")
        if comment:
            schema["description"] = comment
        if "OUTPUT_ONLY" in self.behaviors(field):
            schema["readOnly"] = True
        if "INPUT_ONLY" in self.behaviors(field):
            schema["writeOnly"] = True
        if field.deprecated:
            schema["deprecated"] = True
        return schema

    def field(self, field: DescField, mode: Mode) -> Schema:
        """Return the schema of a field's values."""
        value = field.value
        if isinstance(value, DescFieldValueList):
            return {"type": "array", "items": self._type(value.element, mode)}
        if isinstance(value, DescFieldValueMap):
            return {"type": "object", "additionalProperties": self._type(value.value, mode)}
        if isinstance(value, DescFieldValueMessage):
            return self.reference(value.message, mode)
        if isinstance(value, DescFieldValueEnum):
            return self._enum(value.enum)
        return _scalar(value.scalar)

    def behaviors(self, field: DescField) -> set[str]:
        """Return the `google.api.field_behavior` of a field."""
        extension = self.registry.extension(FIELD_BEHAVIOR)
        options = field.proto.options
        if extension is None or options is None or extension.type not in options:
            return set()
        return {each.name for each in options[extension.type]}

    def _is_required(self, field: DescField, mode: Mode) -> bool:
        if mode is Mode.OUTPUT:
            return _is_always_printed(field)
        return mode is Mode.INPUT and "REQUIRED" in self.behaviors(field)

    def _type(self, type_: ScalarType | DescEnum | DescMessage, mode: Mode) -> Schema:
        if isinstance(type_, DescMessage):
            return self.reference(type_, mode)
        return self._enum(type_) if isinstance(type_, DescEnum) else _scalar(type_)

    def _enum(self, enum: DescEnum) -> Schema:
        if enum.type_name == NULL_VALUE:
            return {"type": "null"}
        name = self._name(enum.type_name, enum.name, Mode.OUTPUT)
        if name not in self.made:
            schema: Schema = {"type": "string", "enum": self._value_names(enum)}
            if description := self._enum_description(enum):
                schema["description"] = description
            self.made[name] = schema
        return {"$ref": REFERENCE + name}

    def _value_names(self, enum: DescEnum) -> list[str]:
        return [value.name for value in self.visibility.values(enum)]

    def _enum_description(self, enum: DescEnum) -> str:
        values = {
            value.name: self.comments.get(f"{enum.type_name}.{value.name}", "")
            for value in self.visibility.values(enum)
        }
        lines = [f"- `{name}`: {' '.join(text.split())}" for name, text in values.items() if text]
        return "\n".join([self.comments.get(enum.type_name, ""), *lines]).strip()

    def _name(self, type_name: str, short: str, mode: Mode) -> str:
        """Name a schema after its message, with the package if the short name is taken."""
        wanted = (short + mode.value, pascal(type_name) + mode.value)
        return self._names.of(f"{type_name} {mode.value}", *wanted)


def _nested_name(message: DescMessage) -> str:
    if message.parent is None:
        return message.name
    return pascal(f"{_nested_name(message.parent)}.{message.name}")


def _scalar(scalar: ScalarType) -> Schema:
    if scalar in _WIDE:
        sign = "" if RANGES[scalar][0] == 0 else "-?"
        return {
            "type": "string",
            "pattern": f"^{sign}[0-9]{{1,19}}$",
            "examples": ["42"],
        }
    if scalar in RANGES:
        least, most = RANGES[scalar]
        return {"type": "integer", "format": "int32", "minimum": least, "maximum": most}
    return dict(_PLAIN[scalar])


def _is_always_printed(field: DescField) -> bool:
    """Tell whether every response has a field: those without presence are always printed."""
    value = field.value
    if isinstance(value, DescFieldValueList | DescFieldValueMap):
        return True
    return isinstance(value, DescFieldValueScalar | DescFieldValueEnum) and _is_implicit(field)


def _is_implicit(field: DescField) -> bool:
    return field.presence.name == "IMPLICIT"


def _exclude_siblings(schema: Schema, message: DescMessage, shown: Sequence[DescField]) -> None:
    groups = [each for each in message.members if isinstance(each, DescOneof)]
    pairs = [
        # Linters want a required property to be defined where it is required.
        {
            "properties": {one.json_name: {}, other.json_name: {}},
            "required": [one.json_name, other.json_name],
        }
        for group in groups
        for one, other in combinations([each for each in group.fields if each in shown], 2)
    ]
    if pairs:
        schema["not"] = {"anyOf": pairs} if len(pairs) > 1 else pairs[0]
