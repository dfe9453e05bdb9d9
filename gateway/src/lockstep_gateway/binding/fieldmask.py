"""The update mask of a PATCH without one: the fields that are present in its JSON."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lockstep_gateway.binding.descriptors import WHOLE, Binding
from lockstep_gateway.binding.protojson import FIELD_MASK, Field, MessageForm
from protobuf import DescField, DescFieldValueMessage, Message

UPDATE_MASK: Final = "update_mask"


@dataclass(frozen=True, slots=True)
class Inference:
    """Infer the mask of a request.

    Attributes:
        mask: The field that holds the mask.
        resource: The field that holds the resource.
    """

    mask: DescField
    resource: Field

    def paths(self, tree: dict[str, Any], in_path: Container[str]) -> Sequence[str]:
        """List the fields of the resource that a request's JSON holds, as paths of proto names.

        Args:
            tree: The request in its JSON form.
            in_path: The JSON names of the fields that the path binds. They identify the
                resource, so a request cannot change them.
        """
        held = tree.get(self.resource.name)
        if not isinstance(held, dict) or self.resource.form is None:
            return ()
        return list(_paths(self.resource.form, held, "", self.resource.json_name, in_path))

    def set_unless_given(self, message: Message, paths: Sequence[str]) -> None:
        """Put the mask into a request that has none."""
        assert isinstance(self.mask.value, DescFieldValueMessage)
        if self.mask not in message:
            message[self.mask] = self.mask.value.message.type(paths=list(paths))


def inference(form: MessageForm, binding: Binding) -> Inference | None:
    """Return the inference of a binding's masks, or None if it infers none.

    Only a PATCH infers (AIP-134), and only for a request with a FieldMask `update_mask`. The
    resource is the body's field. If the whole request is the body, it is its only message.
    """
    mask = next((each for each in form.message.fields if _is_update_mask(each)), None)
    if binding.method != "PATCH" or mask is None:
        return None
    if binding.body == WHOLE:
        held = [each for each in form.by_name.values() if each.form is not None]
    else:
        held = [each for each in form.exact_fields.values() if each.name == binding.body][:1]
    if len(held) != 1 or held[0].form is None:
        return None
    return Inference(mask, held[0])


def _is_update_mask(field: DescField) -> bool:
    value = field.value
    return (
        field.name == UPDATE_MASK
        and isinstance(value, DescFieldValueMessage)
        and value.message.type_name == FIELD_MASK
    )


def _paths(
    form: MessageForm, held: dict[str, Any], prefix: str, place: str, in_path: Container[str]
) -> Iterator[str]:
    for name, value in held.items():
        field = form.by_name[name]
        here = f"{place}.{field.json_name}"
        if here in in_path:
            continue
        if field.form is not None and value:
            yield from _paths(field.form, value, f"{prefix}{field.name}.", here, in_path)
        else:
            yield prefix + field.name
