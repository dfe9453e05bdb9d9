"""One request and its response, as the rest of the gateway sees them."""

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
CLIENT: Final = "lockstep.client"
"""Where the connection puts the client of a request, in the state of the scope."""


class ClientGone(Exception):
    """The client does not wait for an answer any more."""


class TooLarge(Exception):
    """The body is larger than the limit."""


class TooSlow(Exception):
    """The body did not arrive in time."""


@dataclass(slots=True)
class Response:
    """An answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


class Client:
    """Who waits for an answer. The connection tells when it leaves."""

    __slots__ = ("_then", "has_left")

    def __init__(self) -> None:
        """Begin with one that is there."""
        self.has_left = False
        self._then: Callable[[], object] | None = None

    def when_left(self, then: Callable[[], object] | None) -> None:
        """Have `then` called as soon as the client leaves, now if it has; None: nothing.

        A task that waits for that would cost more than all headers of a request.
        """
        self._then = then
        if self.has_left and then is not None:
            then()

    def leave(self) -> None:
        """Tell that the client is gone."""
        self.has_left = True
        if self._then is not None:
            self._then()


@dataclass(slots=True)
class Request:
    """A request. `named` has the last value of each header."""

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
            ClientGone: The client left.
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
        """Read what is still coming, so that a client that only then reads gets the answer."""
        if b"expect" in self.named:
            return
        with contextlib.suppress(TooLarge, ClientGone, TimeoutError):
            async with asyncio.timeout(seconds):
                await self._read(bytes_max)
