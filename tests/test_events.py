"""Events hold ids, and never say who somebody is."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from lockstep_clients.methods import descriptors

PACKAGE = "lockstep.events.v1"
# What is no id: words, amounts and flags of our own.
ALLOWED = {
    "role",
    "email_verified",
    "changed_fields",
    "kind",
    "amount",
    "total",
    "order_number",
    "pending",
}
FILES = [
    file
    for file in descriptors().file
    if file.package == PACKAGE and file.name.endswith("_events.proto")
]
FIELDS = [
    (f"{message.name}.{field.name}", field)
    for file in FILES
    for message in file.message_type
    for field in message.field
]


def test_there_are_events_of_more_than_one_service() -> None:
    assert len(FILES) > 1


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[name for name, _ in FIELDS])
def test_a_field_of_an_event_is_an_id_or_a_word_of_our_own(
    name: str, field: FieldDescriptorProto
) -> None:
    assert field.name.endswith(("_id", "_ids")) or field.name in ALLOWED, name
    # A message could hold anything.
    assert field.type != FieldDescriptorProto.TYPE_MESSAGE


def test_the_document_names_every_type() -> None:
    page = (Path(__file__).parents[1] / "docs/events.md").read_text()
    rows = "".join(line for line in page.splitlines() if line.startswith("| "))
    messages = [message.name for file in FILES for message in file.message_type]
    assert [name for name in messages if f"`{name}`" not in rows] == []


def test_no_event_has_messages_inside() -> None:
    assert [
        message.name for file in FILES for message in file.message_type if message.nested_type
    ] == []
