"""One binding of one RPC, prepared at start: request in, call, response out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

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
from lockstep_gateway.http.encoder import OCTETS, AnswerError, Encoder
from lockstep_gateway.http.errors import Failure, Failures
from lockstep_gateway.http.headers import OutboundHeaders
from lockstep_gateway.http.messages import Client, ClientGone, Request, Response
from lockstep_gateway.http.negotiation import (
    JSON,
    LINES,
    accepts,
    accepts_stream,
    is_json,
    is_media_type,
    none_match,
)
from lockstep_gateway.http.streaming import NDJSON, SSE, Framing, Streaming
from lockstep_gateway.http.upstream import Metadata, Upstream, UpstreamMethod
from protobuf import Message

IN_THREAD_ABOVE_BYTES: Final = 64 * 1024
"""Larger bodies may take more than 10 ms to read, too long for the event loop."""


log = structlog.get_logger("gateway")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """The metadata and the timeout of one call."""

    metadata: Metadata
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Answers:
    """The parts of a stream: the answers of a running call.

    Attributes:
        running: The call.
        client: The client that waits. When it leaves, the call is cancelled.
        encode: Turns an answer into a response.
        translate: Turns the failure of the call into one of ours.
        framing: The form of the parts; None for bytes that have none.
    """

    running: grpc.aio.UnaryStreamCall[bytes, bytes]
    client: Client
    encode: Callable[[bytes], Response]
    translate: Callable[[grpc.aio.AioRpcError], Failure]
    framing: Framing | None

    async def next(self) -> bytes | None:
        """Read the next answer. See `Parts`."""
        response = await self.response()
        return None if response is None else self.framed(response)

    async def response(self) -> Response | None:
        """Read the next answer as a response of its own; None after the last."""
        try:
            data: Any = await self.running.read()
        except grpc.aio.AioRpcError as error:
            raise self.translate(error) from None
        except asyncio.CancelledError:
            if self.client.has_left:
                raise ClientGone from None
            raise
        return None if data is grpc.aio.EOF else self.encode(data)

    def framed(self, response: Response) -> bytes:
        """Return a response as a part."""
        if self.framing is None:
            return response.body
        before, after = self.framing.item
        return before + response.body + after

    def close(self) -> None:
        """Cancel the call, unless it has ended."""
        self.client.when_left(None)
        self.running.cancel()


class Transcoder:
    """Serve one binding.

    Args:
        rpc: The RPC.
        binding: Its HTTP method and path.
        forms: The JSON forms of messages.
        failures: The factory of failures.
        upstream: The upstream of the service.
        method: The method of the upstream.
        answer_bytes: The largest answer.
        etags: The forms of etags.
        outbound: Chooses the metadata that becomes headers.

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
        method: UpstreamMethod,
        answer_bytes: int,
        etags: EtagForms,
        outbound: OutboundHeaders,
    ) -> None:
        self.name: Final = rpc.name
        self._outbound = outbound
        self.upstream: Final = upstream
        self.path: Final = binding.path
        self._binder = RequestBinder(rpc.desc.input, binding, forms)
        self._body = binding.body
        self.input: Final = rpc.desc.input
        self._encoder = Encoder(rpc, binding, forms.registry)
        self.is_stream: Final = rpc.is_stream
        self.takes_raw: Final = self._binder.takes_raw
        service = rpc.desc.parent.type_name
        self._condition = Condition(rpc.desc.input, binding, service, etags)
        self._failures = failures
        self._method = method
        self._answer_bytes = answer_bytes

    codings: Sequence[str] = ("identity",)
    """The codings in which a body may come."""
    has_connect_failures = False
    """Whether failures have the form of the Connect protocol."""

    def wanted_type(self, content_type: str, body: bytes) -> str:
        """Say what `Content-Type` must be, if it is not; "" if the body can be read."""
        if self.takes_raw:
            return "" if not content_type or is_media_type(content_type) else "a media type"
        return "" if not (body and content_type) or is_json(content_type) else JSON

    def refusal(self, accept: str) -> str:
        """Say what `Accept` must allow, if it does not; "" if it does."""
        if self._encoder.is_raw:
            return ""
        if self.is_stream:
            return "" if accepts_stream(accept)[0] else f"must allow {LINES}"
        return "" if accepts(accept)[0] else f"must allow {JSON}"

    async def serve(
        self, request: Request, path: Mapping[str, str], body: bytes, call: UpstreamCall
    ) -> Response | Streaming:
        """Make the call. A stream is returned with its first answer.

        Raises:
            BadRequest: The request has wrong fields.
            Failure: The call failed.
            ClientGone: The client has left, and the call was cancelled.
        """
        content_type = request.header(b"content-type") if self.takes_raw else ""
        read = partial(self._binder.message, path, request.query, body, content_type)
        message = await asyncio.to_thread(read) if len(body) > IN_THREAD_ABOVE_BYTES else read()
        encode = partial(self._encode, as_numbers=self._binder.wants_enum_numbers(request.query))
        if self.is_stream:
            return await self._call_if(request, message, partial(self._open, request, call, encode))
        data, headers = await self._call_if(request, message, partial(self._call, request, call))
        return _unless_known(request, _with_headers(encode(data), headers))

    async def _call_if(
        self, request: Request, message: Message, call: Callable[[bytes], Awaitable[T]]
    ) -> T:
        """Make the call on the condition that `If-Match` or the request's etag sets."""
        if_match = request.header(b"if-match")
        *first, last = self._condition.etags(if_match, message)
        for etag in first:
            self._condition.fill(message, etag)
            try:
                return await call(message.to_binary())
            except Failure as failure:
                if not is_mismatch(failure):
                    raise
        self._condition.fill(message, last)
        try:
            return await call(message.to_binary())
        except Failure as failure:
            if if_match and is_mismatch(failure):
                failure.status = PRECONDITION_FAILED
            raise

    def _check_size(self, data: bytes | None) -> None:
        # gRPC gives None for a call that succeeded without an answer.
        if data is not None and len(data) > self._answer_bytes:
            raise self._failures.answer_too_large()

    def _encode(self, data: bytes | None, *, as_numbers: bool) -> Response:
        self._check_size(data)
        try:
            response, etag = self._encoder.encode(data, enum_numbers=as_numbers)
        except AnswerError as error:
            log.warning("wrong answer", rpc=self.name, reason=str(error))
            raise self._failures.wrong_answer(self.name) from None
        self._condition.learn(etag)
        return response

    async def _call(
        self, request: Request, call: UpstreamCall, data: bytes
    ) -> tuple[bytes | None, dict[str, str]]:
        running = self._method.call(
            data, timeout=call.timeout_seconds, metadata=tuple(call.metadata)
        )
        request.client.when_left(running.cancel)
        try:
            answer: bytes | None = await running
            return answer, self._outbound(await running.initial_metadata())
        except grpc.aio.AioRpcError as error:
            raise self._translate(error) from None
        except asyncio.CancelledError:
            if request.client.has_left:
                raise ClientGone from None
            running.cancel()
            raise
        finally:
            request.client.when_left(None)

    async def _open(
        self,
        request: Request,
        call: UpstreamCall,
        encode: Callable[[bytes | None], Response],
        data: bytes,
    ) -> Streaming:
        """Begin a stream. A failure before its first answer is one of the call."""
        ends_at = asyncio.get_running_loop().time() + call.timeout_seconds
        running = self._method.stream(
            data, timeout=call.timeout_seconds, metadata=tuple(call.metadata)
        )
        answers = Answers(running, request.client, encode, self._translate, self._framing(request))
        request.client.when_left(running.cancel)
        try:
            first = await answers.response()
            headers = self._outbound(await running.initial_metadata())
        except BaseException:
            answers.close()
            raise
        head = Response(self._encoder.status, content_type=OCTETS)
        if answers.framing is not None:
            head.content_type = answers.framing.content_type
        elif first is not None:
            head.content_type = first.content_type
        part = None if first is None else answers.framed(first)
        return Streaming(_with_headers(head, headers), part, answers, ends_at, answers.framing)

    def _framing(self, request: Request) -> Framing | None:
        if self._encoder.is_raw:
            return None
        return SSE if accepts_stream(request.header(b"accept"))[1] else NDJSON

    def _translate(self, error: grpc.aio.AioRpcError) -> Failure:
        failure = self._failures.of(error, self.input, self._body)
        failure.headers = {**self._outbound(error.initial_metadata()), **failure.headers}
        return failure


def _with_headers(response: Response, headers: Mapping[str, str]) -> Response:
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response


def _unless_known(request: Request, response: Response) -> Response:
    """Answer 304 if the client already has this state of the resource."""
    known = request.header(b"if-none-match")
    tag = response.headers.get("etag", "")
    if known and tag and request.method in ("GET", "HEAD") and none_match(known, tag):
        return Response(304, headers=response.headers)
    return response
