"""From the message that an RPC answers with to an HTTP response."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from lockstep_gateway.binding.descriptors import HTTP_BODY, PLACE, Binding, Rpc, field_at
from lockstep_gateway.http.conditions import is_etag
from lockstep_gateway.http.messages import NO_CONTENT, Response, kept_for
from lockstep_gateway.http.negotiation import entity_tag, is_media_type
from protobuf import (
    DescField,
    DescFieldValueMessage,
    DescMessage,
    Message,
    Registry,
)

OCTETS: Final = "application/octet-stream"


class AnswerError(ValueError):
    """Say why the answer of a service cannot be passed on."""


class Encoder:
    """Turn the message that an RPC answers with into a response.

    Raises:
        ValueError: The `location` of the method's options names a field that does not exist.
    """

    def __init__(self, rpc: Rpc, binding: Binding, registry: Registry) -> None:
        self._type = rpc.desc.output.type
        self._registry = registry
        self.status: Final = rpc.rule.success_status
        self._location = _location(rpc.desc.output, rpc.rule.location)
        self._part = next(
            (each for each in rpc.desc.output.fields if each.name == binding.response_body), None
        )
        shown = _message_of(self._part) if self._part else rpc.desc.output
        self.is_raw: Final = shown is not None and shown.type_name == HTTP_BODY
        kept = rpc.rule.cache_seconds
        self._headers = kept_for(kept) if kept else {}
        self._etag = next(filter(is_etag, shown.fields), None) if shown else None

    def encode(self, data: bytes | None, *, enum_numbers: bool = False) -> tuple[Response, str]:
        """Write the message in JSON; fields without presence are always there.

        Args:
            data: The message.
            enum_numbers: Whether enums are written as numbers, and not by their names.

        Returns:
            The response, and the etag in what it shows.

        Raises:
            AnswerError: The data is not a message of the type, or the message has no JSON form.
        """
        response = Response(self.status, headers=dict(self._headers))
        message = self._read(data)
        shown = message[self._part] if self._part is not None else message
        if self.status in NO_CONTENT:
            pass
        elif self.is_raw:
            _write_raw(response, shown)
        else:
            response.body = self._write(message, enum_numbers=enum_numbers)
        etag: str = shown[self._etag] if self._etag is not None and shown is not None else ""
        if tag := entity_tag(etag):
            response.headers["etag"] = tag
        if self._location is not None:
            location = _fill(self._location, message)
            if location:
                response.headers["location"] = location
        return response, etag

    def _read(self, data: bytes | None) -> Message:
        if data is None:
            raise AnswerError("there is no message")
        try:
            return self._type.from_binary(data)
        except (ValueError, TypeError) as error:
            raise AnswerError(str(error)) from None

    def _write(self, message: Message, *, enum_numbers: bool) -> bytes:
        try:
            text = message.to_json(
                registry=self._registry,
                always_emit_implicit=True,
                print_enums_as_ints=enum_numbers,
            )
            if self._part is not None:
                part = json.loads(text).get(self._part.json_name)
                text = json.dumps(part, ensure_ascii=False, separators=(",", ":"))
            return text.encode()
        except (ValueError, TypeError, OverflowError) as error:
            raise AnswerError(str(error)) from None


def _write_raw(response: Response, body: Any) -> None:
    """Answer with a google.api.HttpBody: its bytes, under its own type."""
    content_type = body.content_type if body is not None else ""
    if content_type and not is_media_type(content_type):
        raise AnswerError("the content type is not one")
    response.body = body.data if body is not None else b""
    response.content_type = content_type or OCTETS


def _message_of(field: DescField) -> DescMessage | None:
    value = field.value
    return value.message if isinstance(value, DescFieldValueMessage) else None


Location = list[str | tuple[DescField, ...]]


def _location(message: DescMessage, template: str) -> Location | None:
    if not template:
        return None
    parts: Location = []
    for index, part in enumerate(PLACE.split(template)):
        parts.append(tuple(field_at(message, part)) if index % 2 else part)
    return parts


def _fill(location: Location, message: Message) -> str:
    """Fill in a location; return "" if a part of it is not in the message."""
    out = []
    for part in location:
        if isinstance(part, str):
            out.append(part)
            continue
        value: Any = message
        for field in part:
            value = value[field] if value is not None else None
        if value in (None, ""):
            return ""
        out.append(quote(str(value), safe=""))
    return "".join(out)
