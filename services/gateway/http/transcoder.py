"""One binding of one RPC: request in, call, reply out. Everything is prepared at start."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import grpc
from protobuf import (
    DescField,
    DescFieldValueScalar,
    DescMessage,
    Message,
    Registry,
    ScalarType,
)

from services.gateway.binding.binding import RequestBinder
from services.gateway.binding.descriptors import Binding, Rpc, field_at
from services.gateway.binding.shapes import Shapes
from services.gateway.http.errors import Failures
from services.gateway.http.exchange import NO_CONTENT, ClientGone, Reply, Request
from services.gateway.http.headers import passed_out
from services.gateway.http.negotiation import entity_tag, none_match
from services.gateway.http.upstream import Invoke, Metadata, Upstream

ETAG: Final = "etag"
IN_THREAD_ABOVE_BYTES: Final = 64 * 1024
"""Larger bodies take more than 10 ms to read at worst: too long for the event loop."""
_PLACE = re.compile(r"\{([a-z0-9_.]+)\}")


@dataclass(frozen=True, slots=True)
class Call:
    """What a call brings along beside its message."""

    metadata: Metadata
    timeout_seconds: float


class Transcoder:
    """Serves one binding.

    Args:
        rpc: The RPC.
        binding: How it is bound to HTTP.
        shapes: The JSON forms of messages.
        failures: Makes failures.
        upstream: Where the service is.
        invoke: Calls the method.

    Raises:
        ValueError: The binding or the `location` of the method's options is invalid.
    """

    def __init__(
        self,
        rpc: Rpc,
        binding: Binding,
        *,
        shapes: Shapes,
        failures: Failures,
        upstream: Upstream,
        invoke: Invoke,
    ) -> None:
        """See the class."""
        self.name: Final = rpc.name
        self.upstream: Final = upstream
        self.path: Final = binding.path
        self._binder = RequestBinder(rpc.desc.input, binding, shapes)
        self._body = binding.body
        self._request = rpc.desc.input
        self._encoder = Encoder(rpc, shapes.registry)
        self._failures = failures
        self._invoke = invoke

    async def serve(
        self, request: Request, path: Mapping[str, str], body: bytes, call: Call
    ) -> Reply:
        """Make the call.

        Raises:
            BadRequest: The request has wrong fields.
            Failure: The call failed.
            ClientGone: The client left; the call was cancelled.
        """
        if len(body) > IN_THREAD_ABOVE_BYTES:
            message = await asyncio.to_thread(self._binder.message, path, request.query, body)
        else:
            message = self._binder.message(path, request.query, body)
        data, headers = await self._call(request, message.to_binary(), call)
        reply = self._encoder.reply(data)
        for name, value in headers.items():
            reply.headers.setdefault(name, value)
        return _unless_known(request, reply)

    async def _call(
        self, request: Request, data: bytes, call: Call
    ) -> tuple[bytes, dict[str, str]]:
        running = self._invoke(data, timeout=call.timeout_seconds, metadata=tuple(call.metadata))
        request.client.when_left(running.cancel)
        try:
            answer = await running
            return answer, passed_out(await running.initial_metadata())
        except grpc.aio.AioRpcError as error:
            failure = self._failures.of(error, self._request, self._body)
            failure.headers = {**passed_out(error.initial_metadata()), **failure.headers}
            raise failure from None
        except asyncio.CancelledError:
            if request.client.has_left:
                raise ClientGone from None
            running.cancel()
            raise
        finally:
            request.client.when_left(None)


class Encoder:
    """Turns the response of an RPC into a reply."""

    def __init__(self, rpc: Rpc, registry: Registry) -> None:
        """Prepare everything.

        Raises:
            ValueError: The `location` of the method's options names no text of the response.
        """
        self._type = rpc.desc.output.type
        self._registry = registry
        self._status = rpc.rule.success_status
        self._location = _location(rpc.desc.output, rpc.rule.location)
        self._etag = next(filter(_is_etag, rpc.desc.output.fields), None)

    def reply(self, data: bytes) -> Reply:
        """Write the response in JSON; fields without presence are always there."""
        message = self._type.from_binary(data)
        reply = Reply(self._status)
        if self._status not in NO_CONTENT:
            text = message.to_json(registry=self._registry, always_emit_implicit=True)
            reply.body = text.encode()
        if self._etag is not None:
            tag = entity_tag(message[self._etag])
            if tag:
                reply.headers["etag"] = tag
        if self._location is not None:
            location = _fill(self._location, message)
            if location:
                reply.headers["location"] = location
        return reply


Location = list[str | tuple[DescField, ...]]


def _location(message: DescMessage, template: str) -> Location | None:
    if not template:
        return None
    parts: Location = []
    for index, part in enumerate(_PLACE.split(template)):
        parts.append(tuple(field_at(message, part)) if index % 2 else part)
    return parts


def _fill(location: Location, message: Message) -> str:
    """Fill in a location; "" if a part of it is not in the response."""
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


def _is_etag(field: DescField) -> bool:
    value = field.value
    is_text = isinstance(value, DescFieldValueScalar) and value.scalar is ScalarType.STRING
    return field.name == ETAG and is_text


def _unless_known(request: Request, reply: Reply) -> Reply:
    """Answer 304 when the client has this state of the resource already."""
    known = request.header(b"if-none-match")
    tag = reply.headers.get("etag", "")
    if known and tag and request.method in ("GET", "HEAD") and none_match(known, tag):
        return Reply(304, headers=reply.headers)
    return reply
