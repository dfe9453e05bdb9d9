"""Who may read of what: `google.api.visibility` hides parts of an API from a document.

It says nothing on who may call them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, Final

from lockstep_gateway.binding.descriptors import Rpc
from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescMessage,
    Registry,
)

SERVICE: Final = "google.api.api_visibility"
METHOD: Final = "google.api.method_visibility"
MESSAGE: Final = "google.api.message_visibility"
FIELD: Final = "google.api.field_visibility"
ENUM: Final = "google.api.enum_visibility"
VALUE: Final = "google.api.value_visibility"
EXTENSIONS: Final = (SERVICE, METHOD, MESSAGE, FIELD, ENUM, VALUE)


class Visibility:
    """Tells what a document shows: what has no restriction, or one of these labels.

    Args:
        registry: The descriptors, with their options.
        labels: The labels.
    """

    def __init__(self, registry: Registry, labels: Collection[str] = ()) -> None:
        self._registry = registry
        self._labels = frozenset(labels)

    def rpcs(self, rpcs: Sequence[Rpc]) -> list[Rpc]:
        """Return the RPCs that are shown."""
        return [
            each
            for each in rpcs
            if self._shows(each.desc, METHOD) and self._shows(each.desc.parent, SERVICE)
        ]

    def fields(self, message: DescMessage) -> list[DescField]:
        """Return the fields of a message that are shown, with those types that are."""
        return [each for each in message.fields if self._shows_field(each)]

    def values(self, enum: DescEnum) -> list[Any]:
        """Return the values of an enum that are shown."""
        return [each for each in enum.values if self._shows(each, VALUE)]

    def _shows_field(self, field: DescField) -> bool:
        held = _type_of(field)
        if isinstance(held, DescMessage) and not self._shows(held, MESSAGE):
            return False
        if isinstance(held, DescEnum) and not self._shows(held, ENUM):
            return False
        return self._shows(field, FIELD)

    def _shows(self, element: Any, name: str) -> bool:
        extension = self._extensions.get(name)
        options = element.proto.options
        if extension is None or options is None or extension.type not in options:
            return True
        restriction = options[extension.type].restriction
        labels = {each.strip() for each in restriction.split(",") if each.strip()}
        return not labels or not self._labels.isdisjoint(labels)

    @cached_property
    def _extensions(self) -> dict[str, Any]:
        found = {name: self._registry.extension(name) for name in EXTENSIONS}
        return {name: each for name, each in found.items() if each is not None}


def _type_of(field: DescField) -> object:
    value = field.value
    if isinstance(value, DescFieldValueMessage):
        return value.message
    if isinstance(value, DescFieldValueEnum):
        return value.enum
    if isinstance(value, DescFieldValueList):
        return value.element
    return value.value if isinstance(value, DescFieldValueMap) else None
