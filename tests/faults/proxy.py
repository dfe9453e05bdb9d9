"""A TCP proxy that drops, delays and swallows: what a network does to a connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Proxy:
    """Stands between a client and a server.

    Attributes:
        port: Where it listens.
        is_swallowing: Whether bytes vanish while the connections stay open (half-open).
        delay_seconds: How long bytes take.
        swallowed: Set as soon as bytes have vanished.
    """

    port: int = 0
    is_swallowing: bool = False
    delay_seconds: float = 0.0
    swallowed: asyncio.Event = field(default_factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def drop(self) -> None:
        """Reset every connection."""
        for writer in self.writers:
            if writer.get_extra_info("socket").family != socket.AF_UNIX:
                at_once = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, at_once
                )
            writer.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction."""
        self.writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                while data := await reader.read(65536):
                    if self.is_swallowing:
                        self.swallowed.set()
                        continue
                    if self.delay_seconds:
                        await asyncio.sleep(self.delay_seconds)
                    if writer.is_closing():  # the other direction has ended
                        return
                    writer.write(data)
                    await writer.drain()
        finally:
            self.writers.discard(writer)
            writer.close()


@contextlib.asynccontextmanager
async def proxy_to_socket(
    path: str | Path, *, listen_on: Path | None = None
) -> AsyncIterator[Proxy]:
    """Run a proxy before a Unix socket.

    Args:
        path: The socket of the server.
        listen_on: The Unix socket of the proxy, instead of a port of its own.
    """
    proxy, tasks = Proxy(), set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, upstream[1]), (upstream[0], writer)):
            task = asyncio.ensure_future(proxy.pump(source, sink))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    if listen_on is None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
    else:
        server = await asyncio.start_unix_server(serve, listen_on)
    async with server:
        try:
            yield proxy
        finally:
            proxy.drop()
            for task in list(tasks):
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
