"""HTTP requests and responses, apart from ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

from lockstep_gateway.binding.violations import BadRequest
from lockstep_gateway.http.fields import Fields

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE: Final = "application/json"
NO_CONTENT: Final = (204, 304)
GZIP_BITS: Final = 31
"""Tells zlib that there is the head of gzip."""
DISCONNECT: Final = "http.disconnect"
WATCH_AFTER_SECONDS: Final = 0.05
"""Most calls end earlier. They do without the task that waits for the client."""


class ClientGone(Exception):
    """The client has left and waits for no answer."""


class TooLarge(Exception):
    """The body is larger than the limit."""


class TooSlow(Exception):
    """The body did not arrive in time."""


class Incomplete(Exception):
    """The body ended early, or has another length than it declares."""


def gunzipped(body: bytes, bytes_max: int) -> bytes:
    """Unpack a body.

    Raises:
        TooLarge: It becomes longer than `bytes_max`. Nothing more is unpacked.
        BadRequest: It is not gzip.
    """
    unpacker = zlib.decompressobj(wbits=GZIP_BITS)
    try:
        unpacked = unpacker.decompress(body, bytes_max + 1)
    except zlib.error:
        raise BadRequest([("body", "must be gzip")]) from None
    if len(unpacked) > bytes_max:
        raise TooLarge
    if body and (not unpacker.eof or unpacker.unused_data):
        raise BadRequest([("body", "must be gzip")])
    return unpacked


def kept_for(seconds: int) -> dict[str, str]:
    """Return the header of an answer that never changes, and that everybody may keep (RFC 8246)."""
    return {"cache-control": f"public, max-age={seconds}, immutable"}


@dataclass(slots=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


class Client:
    """The client that waits for an answer.

    Args:
        receive: Gives the messages of the request (ASGI), the last of which is its end.
    """

    __slots__ = ("_receive", "_then", "_timer", "_watch", "has_left")

    def __init__(self, receive: Receive) -> None:
        self.has_left = False
        self._receive = receive
        self._then: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    def when_left(self, then: Callable[[], object] | None) -> None:
        """Call `then` as soon as the client leaves, or now if it has left. None cancels that.

        Nobody else may receive messages in the meantime.
        """
        self._stop()
        self._then = then
        if then is None:
            return
        if self.has_left:
            then()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_SECONDS, self._start)

    def leave(self) -> None:
        """Report that the client has left."""
        self.has_left = True
        if self._then is not None:
            self._then()

    def _start(self) -> None:
        self._timer = None
        self._watch = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != DISCONNECT:
            pass
        self.leave()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


@dataclass(slots=True)
class Request:
    """An HTTP request.

    Attributes:
        method: The method, whose case matters.
        raw_path: The path as it came, without the prefix under which the gateway is mounted.
        query: The query as it came.
        fields: The header fields.
        peer: The IP of the other side.
        version: The version of HTTP: `1`, `1.0`, `1.1` or `2`.
        root_path: The prefix under which the gateway is mounted.
        client: The client that waits.
        receive: Gives the messages of the request (ASGI).
        is_read: Whether nothing of the body is left to read.
    """

    method: str
    raw_path: str
    query: bytes
    fields: Fields
    peer: str
    version: str
    root_path: str
    client: Client
    receive: Receive
    is_read: bool = False

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> Request:
        """Read the scope of ASGI."""
        peer = scope.get("client")
        root_path = scope.get("root_path") or ""
        raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
        request = cls(
            method=scope["method"],
            raw_path=_below(raw_path.decode("latin-1"), root_path),
            query=scope.get("query_string", b""),
            fields=Fields(scope["headers"]),
            peer=peer[0] if peer else "",
            version=scope.get("http_version", "1.1"),
            root_path=root_path,
            client=Client(receive),
            receive=receive,
        )
        request.is_read = not request._may_have_body()
        return request

    @property
    def is_http1(self) -> bool:
        """Whether the connection serves one request at a time, and has a `Connection` field."""
        return self.version.startswith("1")

    def header(self, name: bytes) -> str:
        """Return the value of a header; "" without it."""
        return self.fields.text(name)

    async def read_body(self, *, bytes_max: int, seconds: float) -> bytes:
        """Read the whole body.

        Raises:
            TooLarge: It is longer than `bytes_max`.
            TooSlow: It takes longer than `seconds`.
            Incomplete: It is not all there, or the client has left.
        """
        length = self._declared_length()
        if length is not None and length > bytes_max:
            raise TooLarge
        if self.is_read:
            return b""
        try:
            async with asyncio.timeout(seconds):
                body = await self._read(bytes_max)
        except TimeoutError:
            raise TooSlow from None
        if length is not None and length != len(body):
            raise Incomplete
        return body

    async def discard(self, *, bytes_max: int, seconds: float) -> None:
        """Read the rest of the body: some clients read the answer only after they have sent it."""
        if self.is_read or b"expect" in self.fields:
            return
        with contextlib.suppress(TooLarge, Incomplete, TimeoutError):
            async with asyncio.timeout(seconds):
                await self._read(bytes_max)

    async def _read(self, bytes_max: int) -> bytes:
        chunks = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == DISCONNECT:
                self.is_read = True
                raise Incomplete
            chunks += message.get("body", b"")
            self.is_read = not message.get("more_body", False)
            if len(chunks) > bytes_max:
                raise TooLarge
            if self.is_read:
                return bytes(chunks)

    def _declared_length(self) -> int | None:
        """Return the length in `Content-Length`, which chunks override (RFC 9112 6.3)."""
        text = self.fields.text(b"content-length")
        if not text.isdecimal() or b"transfer-encoding" in self.fields:
            return None
        return int(text)

    def _may_have_body(self) -> bool:
        """Tell whether there may be a body: in HTTP/1 its head says so (RFC 9112 6)."""
        if not self.is_http1 or b"transfer-encoding" in self.fields:
            return True
        return self.fields.text(b"content-length") not in ("", "0")


def _below(raw_path: str, root_path: str) -> str:
    """Take off the prefix under which the gateway is mounted. Only the path is escaped."""
    if not root_path:
        return raw_path
    parts = raw_path.split("/")
    depth = root_path.count("/") + 1
    if unquote("/".join(parts[:depth])) != root_path:
        return raw_path
    return "/" + "/".join(parts[depth:])
