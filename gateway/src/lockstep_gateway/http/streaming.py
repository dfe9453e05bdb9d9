"""Answers that are streams: a line of JSON, or a server-sent event, for each message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from lockstep_gateway.http.errors import Failure, Failures
from lockstep_gateway.http.messages import ClientGone, Request, Response, Send
from lockstep_gateway.http.negotiation import EVENTS, LINES
from lockstep_gateway.http.sending import head_fields, start

UNBUFFERED: Final = {"x-accel-buffering": "no"}
"""Asks nginx, and proxies that follow it, to pass each part on at once."""


log = structlog.get_logger("gateway")


class Broken(Exception):
    """The answer has ended too early, and its form cannot tell so: its connection must end."""


@dataclass(frozen=True, slots=True)
class Framing:
    """The form of the parts of a stream.

    Attributes:
        content_type: The media type.
        item: The bytes around a message.
        failure: The bytes around the status of a failure.
    """

    content_type: str
    item: tuple[bytes, bytes]
    failure: tuple[bytes, bytes]


NDJSON: Final = Framing(LINES, (b"", b"\n"), (b'{"error":', b"}\n"))
SSE: Final = Framing(EVENTS, (b"data: ", b"\n\n"), (b"event: error\ndata: ", b"\n\n"))


class Parts(Protocol):
    """The parts of a stream, each of which is made when it is asked for."""

    async def next(self) -> bytes | None:
        """Return the next part; None after the last.

        Raises:
            Failure: The stream has failed.
            ClientGone: The client has left.
        """

    def close(self) -> None:
        """End the call behind the stream, unless it has ended."""


@dataclass(slots=True)
class Streaming:
    """A response that is sent part by part.

    Attributes:
        head: The response without its body.
        first: The first part; None for a stream without parts.
        rest: The parts behind it.
        ends_at: The time of the event loop at which the stream must end.
        framing: The form of the parts; None for bytes that have none.
        messages: How many messages were sent.
        failure: The failure that ended the stream.
        when_over: Called when the stream is over.
    """

    head: Response
    first: bytes | None
    rest: Parts
    ends_at: float
    framing: Framing | None
    messages: int = 0
    failure: Failure | None = None
    when_over: Callable[[], object] = field(default=lambda: None)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.head.status


@dataclass(frozen=True, slots=True)
class StreamSender:
    """Send streams.

    Attributes:
        failures: The factory of failures.
        last_seconds: The longest time in which a client takes the last part.
        is_over: Tells whether the server ends the requests in flight.
    """

    failures: Failures
    last_seconds: float
    is_over: Callable[[], bool]

    async def send(
        self, send: Send, request: Request, stream: Streaming, more: dict[str, str]
    ) -> None:
        """Send a stream to its end. The next part is made when the last one was taken.

        Raises:
            ClientGone: The client has left.
            Broken: The stream has failed, and the client does not learn it from what was sent.
        """
        try:
            headers = head_fields(request, stream.head, {**UNBUFFERED, **more})
            headers["content-type"] = stream.head.content_type
            await start(send, stream.status, headers)
            if request.method != "HEAD":
                stream.failure = await self._failing(self._pump(send, stream), stream.ends_at)
        finally:
            stream.rest.close()
            stream.when_over()
        await self._end(send, stream)

    async def _pump(self, send: Send, stream: Streaming) -> None:
        part = stream.first
        while part is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            stream.messages += 1
            part = await stream.rest.next()

    async def _failing(self, pump: Awaitable[None], ends_at: float) -> Failure | None:
        try:
            async with asyncio.timeout_at(ends_at):
                await pump
        except Failure as failure:
            return failure
        except TimeoutError:
            return self.failures.too_late()
        except asyncio.CancelledError:
            if not self.is_over():
                raise
            return self.failures.unavailable("The gateway is stopping.")
        except ClientGone:
            raise
        except Exception:
            log.exception("unexpected")
            return self.failures.internal()
        return None

    async def _end(self, send: Send, stream: Streaming) -> None:
        last = b""
        if stream.failure is not None:
            if stream.framing is None:
                raise Broken
            before, after = stream.framing.failure
            last = before + stream.failure.as_status() + after
        try:
            async with asyncio.timeout(self.last_seconds):
                await send({"type": "http.response.body", "body": last})
        except (TimeoutError, asyncio.CancelledError):
            raise Broken from None
