"""The watch on a connection's socket, which the event loop keeps from answer to answer."""

from __future__ import annotations

import asyncio


class SocketWatch:
    """Tells when there is something to read from a socket.

    psycopg registers the socket with the event loop for each answer, and removes it again. That
    takes half as long as to send a statement and to read its answer. Here it stays registered.

    The loop can lose a registration that is kept: uvloop tells once of an error of the socket,
    and never again. So a wait at the watch must be short, and something else must follow it.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = -1
        self._waiter: asyncio.Future[bool] | None = None

    async def is_readable(self, socket: int, seconds: float) -> bool:
        """Wait until there is something to read; return False when there was nothing."""
        loop = self._loop
        if loop is None:
            loop = asyncio.get_running_loop()
            loop.add_reader(socket, self._on_readable)
            self._loop, self._socket = loop, socket
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiter = waiter
        timer = loop.call_later(seconds, _settle, waiter, False)  # noqa: FBT003 - goes to `_settle`
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def end(self) -> None:
        """Take the socket from the loop, before somebody else registers or closes it."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop = None

    def _on_readable(self) -> None:
        if self._waiter is None:
            self.end()  # the loop would call this again and again until somebody reads
        else:
            _settle(self._waiter, True)  # noqa: FBT003 - as above


def _settle(waiter: asyncio.Future[bool], is_readable: bool) -> None:  # noqa: FBT001 - a result
    if not waiter.done():
        waiter.set_result(is_readable)
