"""A connection of HTTP/1.1: uvicorn's, with limits, and with the shape of all failures."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from services.gateway.http.config import ConnectionLimits
from services.gateway.http.errors import Failure, Failures
from services.gateway.http.messages import CLIENT, Client

CONTINUE: Final = b"HTTP/1.1 100 "


class _Refused(Exception):
    """Stop the parser."""


class _Writer:
    """Write the head of an answer together with its body.

    Two system calls instead of one would cost a fifth of the answer.
    """

    __slots__ = ("_head", "_is_first", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._is_first = True

    def write(self, data: bytes) -> None:
        if self._is_first and not data.startswith(CONTINUE):
            self._head, self._is_first = data, False
        else:
            head, self._head = self._head, b""
            self._transport.write(head + data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class HttpConnection(HttpToolsProtocol):
    """A connection. `connection_class` subclasses it with limits."""

    limits: ClassVar[ConnectionLimits]
    failures: ClassVar[Failures]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take uvicorn's arguments."""
        super().__init__(*args, **kwargs)
        self._refusal: Failure | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._writer: _Writer | None = None
        self._client = Client()

    def connection_made(  # type: ignore[override] # uvicorn narrows the type, too
        self, transport: asyncio.Transport
    ) -> None:
        """Start the timer of the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, and cancel the work for a client that is gone."""
        self._got_head()
        super().connection_lost(exc)
        self._client.leave()

    def data_received(self, data: bytes) -> None:
        """Read on, unless a refusal closed the connection."""
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._header_bytes = 0
        if self._head_timer is None:
            self._await_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Read a part of the URL."""
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "url", self.limits.url_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self.limits.header_bytes:
            size = self.limits.header_bytes
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers", size)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timer, and hand the request over."""
        self._got_head()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Send the head of an answer without a body: it still waits for one."""
        if self._writer is not None:
            self._writer.flush()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text
        """Answer an unreadable request in the shape of all failures, and close."""
        failure = self._refusal or self.failures.invalid([("request", "is not valid HTTP")])
        body = failure.as_status()
        self.transport.write(
            STATUS_LINE[failure.http_status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._writer = cycle.transport = _Writer(self.transport)  # type: ignore[assignment]
        self._client = cycle.scope["state"][CLIENT] = Client()
        super()._start_asgi_task(cycle, app)

    def _refuse(self, status: HTTPStatus, field: str, bytes_max: int) -> None:
        reason = f"is longer than {bytes_max} bytes"
        self._refusal = self.failures.invalid([(field, reason)], status=status)
        raise _Refused

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self._head_is_late)

    def _got_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self.transport.close()
            return
        self._refusal = self.failures.too_late(HTTPStatus.REQUEST_TIMEOUT)
        self.send_400_response("")


def connection_class(bounds: ConnectionLimits, factory: Failures) -> type[HttpConnection]:
    """Return the class of connections with these limits, for uvicorn."""

    class Limited(HttpConnection):
        limits = bounds
        failures = factory

    return Limited
