"""One rule of update masks for all services (AIP-134)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from lockstep.auth.v1 import auth_service_pb2, webhook_service_pb2
from lockstep.commerce.v1 import cart_service_pb2, catalog_service_pb2, order_service_pb2
from lockstep.profile.v1 import profile_service_pb2, wallet_service_pb2

import services
from services.kernel.rpc.masks import named_fields
from services.kernel.validation import Violations

UPDATES: dict[type[Message], str] = {
    webhook_service_pb2.UpdateWebhookRequest: "webhook",
    catalog_service_pb2.UpdateProductRequest: "product",
    profile_service_pb2.UpdateProfileRequest: "profile",
    profile_service_pb2.UpdateBrandRequest: "brand",
}
FILES = (
    auth_service_pb2,
    webhook_service_pb2,
    cart_service_pb2,
    catalog_service_pb2,
    order_service_pb2,
    profile_service_pb2,
    wallet_service_pb2,
)


def masked() -> Iterator[Descriptor]:
    for file in FILES:
        for message in file.DESCRIPTOR.message_types_by_name.values():
            if "update_mask" in message.fields_by_name:
                yield message


def test_every_request_with_a_mask_is_tried_here() -> None:
    assert set(masked()) == {kind.DESCRIPTOR for kind in UPDATES}


def test_nobody_reads_a_mask_but_the_one_rule() -> None:
    folder = Path(services.__file__).parent
    readers = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if ".update_mask" in path.read_text()
    }
    assert readers == {"kernel/rpc/masks.py"}


@pytest.mark.parametrize(("kind", "resource"), UPDATES.items())
@pytest.mark.parametrize(
    ("mask", "named"),
    [
        (None, ["description"]),
        (FieldMask(), []),
        (FieldMask(paths=["id"]), []),
        (FieldMask(paths=["url"]), ["url"]),
        (FieldMask(paths=["*"]), ["description", "url"]),
    ],
)
def test_a_mask_says_what_changes_and_without_one_what_is_set(
    kind: type[Any], resource: str, mask: FieldMask | None, named: list[str]
) -> None:
    request = kind(update_mask=mask)
    given = getattr(request, resource)
    text, other = [
        field.name
        for field in given.DESCRIPTOR.fields
        if field.type == field.TYPE_STRING and not field.is_repeated and field.name != "id"
    ][:2]
    setattr(given, text, "x")
    names = {"description": text, "url": other, "id": "id"}
    if mask is not None:
        paths = [names.get(path, path) for path in mask.paths]
        request.update_mask.CopyFrom(FieldMask(paths=paths))
    v = Violations()
    found = named_fields(v, request, resource, [text, other], identity="id")
    v.raise_any()
    assert found == [names[name] for name in named]
