"""A receiver of webhooks: a real HTTP server that keeps what it gets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook

WAIT_SECONDS = 20.0

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """A request that arrived."""

    path: str
    headers: dict[str, str]
    body: str

    def verified(self, secret: str) -> Any:
        """Verify the signature as receivers do, and return the content."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """What arrived, and how the next requests are answered.

    Attributes:
        answer: Answers every request that `answers` has no answer for.
        refused: The subjects whose events are refused.
    """

    url: str = ""
    got: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    answer: Answer | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, count: int) -> list[Received]:
        """Wait until so many requests have arrived."""
        async with self._changed, asyncio.timeout(WAIT_SECONDS):
            await self._changed.wait_for(lambda: len(self.got) >= count)
        return self.got[:]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request of a connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = await _read(reader)
            async with self._changed:
                self.got.append(request)
                self._changed.notify_all()
            if self.answer is None:
                status = self.statuses.pop(0) if self.statuses else 204
                if any(subject in request.body for subject in self.refused):
                    status = 500
                writer.write(f"HTTP/1.1 {status} Word\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
            else:
                await self.answer(writer)
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(first.split()[1], headers, body.decode())


@contextlib.asynccontextmanager
async def receiving(answer: Answer | None = None, **server: Any) -> AsyncIterator[Receiver]:
    """Run a receiver, and end its connections with it."""
    receiver = Receiver(answer=answer)
    open_ = set[asyncio.Task[None]]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_.add(task)
        try:
            await receiver.handle(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            open_.discard(task)

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, **server)
    scheme = "https" if server else "http"
    receiver.url = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        listening.close()
        for task in list(open_):
            task.cancel()
        if open_:
            await asyncio.wait(open_)
