"""Texts that none of our rules can hold, found where a request is decoded.

PostgreSQL keeps no NUL, and UTF-8 has no form for half of a surrogate pair. No check of a
field needs to think of them, and no way around such a check can let them in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.kernel.errors import Violation

_NUL = "\0"
_LENGTH_DELIMITED = 2  # the wire type of texts and messages


def unfit_texts(request: Message, encoded: bytes) -> list[Violation]:
    """Return a violation for each text that has a NUL."""
    if b"\0" not in encoded:  # nearly every request: there is nothing to search
        return []
    return [Violation(path, "must not contain NUL (U+0000)") for path in _with_nul(request, "")]


def undecodable(request: type[Message], encoded: bytes) -> list[Violation]:
    """Return why an encoded request cannot be read: its texts that are not UTF-8, or all of it."""
    descriptor = cast(Descriptor, request.DESCRIPTOR)
    found = [
        Violation(path, f"is not UTF-8, as a text of {descriptor.full_name} must be")
        for path in _not_utf8(descriptor, encoded, "")
    ]
    return found or [Violation("", f"is not a {descriptor.full_name}")]


def _with_nul(message: Message, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.is_repeated:
            for index, each in enumerate(value):
                yield from _with_nul_in_value(each, f"{path}[{index}]")
        else:
            yield from _with_nul_in_value(value, path)


def _with_nul_in_value(value: object, path: str) -> Iterator[str]:
    if isinstance(value, Message):
        yield from _with_nul(value, f"{path}.")
    elif isinstance(value, str) and _NUL in value:
        yield path


def _not_utf8(descriptor: Descriptor, encoded: bytes, prefix: str) -> Iterator[str]:
    carrier = Empty()  # which knows no field, and so keeps the bytes of every one
    try:
        carrier.ParseFromString(encoded)
    except DecodeError:
        return
    for each in UnknownFieldSet(carrier):  # type: ignore[attr-defined] # its types leave it out
        field = descriptor.fields_by_number.get(each.field_number)
        if field is None or each.wire_type != _LENGTH_DELIMITED:
            continue
        if field.type == FieldDescriptor.TYPE_STRING:
            try:
                each.data.decode()
            except UnicodeDecodeError:
                yield f"{prefix}{field.name}"
        elif field.message_type is not None:
            yield from _not_utf8(field.message_type, each.data, f"{prefix}{field.name}.")
