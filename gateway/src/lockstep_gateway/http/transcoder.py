"""One binding of one RPC, prepared at start: request in, call, response out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc
import structlog
from lockstep_gateway.binding.binding import RequestBinder
from lockstep_gateway.binding.descriptors import Binding, Rpc
from lockstep_gateway.binding.protojson import MessageForms
from lockstep_gateway.http.conditions import (
    PRECONDITION_FAILED,
    Condition,
    EtagForms,
    is_mismatch,
)
from lockstep_gateway.http.encoder import AnswerError, Encoder
from lockstep_gateway.http.errors import Failure, Failures
from lockstep_gateway.http.headers import passed_out
from lockstep_gateway.http.messages import ClientGone, Request, Response
from lockstep_gateway.http.negotiation import none_match
from lockstep_gateway.http.upstream import Invoke, Metadata, Upstream
from protobuf import Message

IN_THREAD_ABOVE_BYTES: Final = 64 * 1024
"""Larger bodies may take more than 10 ms to read, too long for the event loop."""


log = structlog.get_logger("gateway")


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """The metadata and the timeout of one call."""

    metadata: Metadata
    timeout_seconds: float


class Transcoder:
    """Serve one binding.

    Args:
        rpc: The RPC.
        binding: Its HTTP method and path.
        forms: The JSON forms of messages.
        failures: The factory of failures.
        upstream: The upstream of the service.
        invoke: The function that calls the method.
        answer_bytes: The largest answer.
        etags: The forms of etags.

    Raises:
        ValueError: The binding or the `location` of the method's options is invalid.
    """

    def __init__(
        self,
        rpc: Rpc,
        binding: Binding,
        *,
        forms: MessageForms,
        failures: Failures,
        upstream: Upstream,
        invoke: Invoke,
        answer_bytes: int,
        etags: EtagForms,
    ) -> None:
        self.name: Final = rpc.name
        self.upstream: Final = upstream
        self.path: Final = binding.path
        self._binder = RequestBinder(rpc.desc.input, binding, forms)
        self._body = binding.body
        self._request = rpc.desc.input
        self._encoder = Encoder(rpc, binding, forms.registry)
        self.answers_raw: Final = self._encoder.is_raw
        service = rpc.desc.parent.type_name
        self._condition = Condition(rpc.desc.input, binding, service, etags)
        self._failures = failures
        self._invoke = invoke
        self._answer_bytes = answer_bytes

    async def serve(
        self, request: Request, path: Mapping[str, str], body: bytes, call: UpstreamCall
    ) -> Response:
        """Make the call.

        Raises:
            BadRequest: The request has wrong fields.
            Failure: The call failed.
            ClientGone: The client has left, and the call was cancelled.
        """
        if len(body) > IN_THREAD_ABOVE_BYTES:
            message = await asyncio.to_thread(self._binder.message, path, request.query, body)
        else:
            message = self._binder.message(path, request.query, body)
        data, headers = await self._call_if(request, message, call)
        response = self._encode(data, self._binder.wants_enum_numbers(request.query))
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return _unless_known(request, response)

    async def _call_if(
        self, request: Request, message: Message, call: UpstreamCall
    ) -> tuple[bytes | None, dict[str, str]]:
        """Make the call on the condition that `If-Match` or the request's etag sets."""
        if_match = request.header(b"if-match")
        *first, last = self._condition.etags(if_match, message)
        for etag in first:
            self._condition.fill(message, etag)
            try:
                return await self._call(request, message.to_binary(), call)
            except Failure as failure:
                if not is_mismatch(failure):
                    raise
        self._condition.fill(message, last)
        try:
            return await self._call(request, message.to_binary(), call)
        except Failure as failure:
            if if_match and is_mismatch(failure):
                failure.status = PRECONDITION_FAILED
            raise

    def _encode(self, data: bytes | None, as_numbers: bool) -> Response:  # noqa: FBT001
        # gRPC gives None for a call that succeeded without an answer.
        if data is not None and len(data) > self._answer_bytes:
            raise self._failures.answer_too_large()
        try:
            response, etag = self._encoder.encode(data, enum_numbers=as_numbers)
        except AnswerError as error:
            log.warning("wrong answer", rpc=self.name, reason=str(error))
            raise self._failures.wrong_answer(self.name) from None
        self._condition.learn(etag)
        return response

    async def _call(
        self, request: Request, data: bytes, call: UpstreamCall
    ) -> tuple[bytes | None, dict[str, str]]:
        running = self._invoke(data, timeout=call.timeout_seconds, metadata=tuple(call.metadata))
        request.client.when_left(running.cancel)
        try:
            answer: bytes | None = await running
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


def _unless_known(request: Request, response: Response) -> Response:
    """Answer 304 if the client already has this state of the resource."""
    known = request.header(b"if-none-match")
    tag = response.headers.get("etag", "")
    if known and tag and request.method in ("GET", "HEAD") and none_match(known, tag):
        return Response(304, headers=response.headers)
    return response
