"""HTTP requests and responses, apart from ASGI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.gateway.http.headers import Headers

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON_TYPE: Final = "application/json"
NO_CONTENT: Final = (204, 304)
CLIENT: Final = "gateway.client"
"""The key of the client in the state of the ASGI scope."""


class ClientGone(Exception):
    """The client has left and waits for no answer."""


class TooLarge(Exception):
    """The body is larger than the limit."""


class TooSlow(Exception):
    """The body did not arrive in time."""


@dataclass(slots=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


class Client:
    """The client that waits for an answer. The connection reports that it leaves."""

    __slots__ = ("_then", "has_left")

    def __init__(self) -> None:
        self.has_left = False
        self._then: Callable[[], object] | None = None

    def when_left(self, then: Callable[[], object] | None) -> None:
        """Call `then` as soon as the client leaves, or now if it has left. None cancels that.

        A task that waits for the client would cost more than reading all headers.
        """
        self._then = then
        if self.has_left and then is not None:
            then()

    def leave(self) -> None:
        """Report that the client has left."""
        self.has_left = True
        if self._then is not None:
            self._then()


@dataclass(slots=True)
class Request:
    """An HTTP request. `named` has the last value of each header."""

    method: str
    raw_path: str
    query: bytes
    headers: Headers
    named: dict[bytes, bytes]
    peer: str
    client: Client
    receive: Receive

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> Request:
        """Read the scope of ASGI."""
        peer = scope.get("client")
        return cls(
            method=scope["method"],
            raw_path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"],
            headers=scope["headers"],
            named=dict(scope["headers"]),
            peer=peer[0] if peer else "",
            client=scope["state"][CLIENT],
            receive=receive,
        )

    def header(self, name: bytes) -> str:
        """Return the last value of a header; "" without it."""
        return self.named.get(name, b"").decode("latin-1")

    async def read_body(self, *, bytes_max: int, seconds: float) -> bytes:
        """Read the whole body.

        Raises:
            TooLarge: It is longer than `bytes_max`.
            TooSlow: It takes longer than `seconds`.
            ClientGone: The client has left.
        """
        length = self.named.get(b"content-length")
        if length is None and b"transfer-encoding" not in self.named:
            return b""
        if length is not None and int(length) > bytes_max:
            raise TooLarge
        try:
            async with asyncio.timeout(seconds):
                return await self._read(bytes_max)
        except TimeoutError:
            raise TooSlow from None

    async def _read(self, bytes_max: int) -> bytes:
        chunks = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunks += message.get("body", b"")
            if len(chunks) > bytes_max:
                raise TooLarge
            if not message.get("more_body", False):
                return bytes(chunks)

    async def discard(self, *, bytes_max: int, seconds: float) -> None:
        """Read the rest of the body: some clients read the answer only after they have sent it."""
        if b"expect" in self.named:
            return
        with contextlib.suppress(TooLarge, ClientGone, TimeoutError):
            async with asyncio.timeout(seconds):
                await self._read(bytes_max)
