"""A connection to PostgreSQL that waits cheaply.

psycopg registers its socket with the event loop for each wait, and unregisters it
afterwards: two system calls for each answer of PostgreSQL. Here the socket stays
registered, until the server sends something unasked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import AsyncRowFactory, tuple_row
from psycopg.waiting import Ready, Wait

T = TypeVar("T")

# The server has so long to take the request to cancel, and again to end the statement.
CANCEL_SECONDS = 5.0


class Connection(psycopg.AsyncConnection[Any]):
    """A connection whose socket stays registered with the event loop.

    Attributes:
        cursors: The cursors of the statements that ran here. When a statement runs again,
            its cursor already knows how to write the parameters and read the rows.
    """

    def __init__(self, pgconn: PGconn, row_factory: AsyncRowFactory[Any] = tuple_row) -> None:
        """Take over a connection that libpq has made."""
        super().__init__(pgconn, row_factory)
        self.cursors: dict[object, psycopg.AsyncCursor[Any]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # the loop that has the socket
        self._socket = -1
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109 - psycopg's
        """Run a generator of psycopg, and wait for the socket when it asks for that."""
        if timeout is not None:
            self._unregister()
            return await super().wait(gen, interval, timeout)
        try:
            state = next(gen)
            while state == Wait.R:
                await self._readable()
                state = gen.send(Ready.R)
            self._unregister()
            # The statement is so long that the socket cannot take it at once.
            return await super().wait(_rest(gen, state), interval)
        except StopIteration as end:
            if self.pgconn.status == ConnStatus.BAD:
                self._unregister()  # as below: psycopg also returns errors
            result: T = end.value
            return result
        except asyncio.CancelledError:
            self._unregister()
            await self._interrupt(gen)
            raise
        except BaseException:
            self._unregister()  # libpq may have closed it; another file may get its number
            raise

    async def command(self, text: bytes) -> bytes | None:
        """Run BEGIN or COMMIT in half the time of a cursor, and return its tag.

        Use a cursor for ROLLBACK: it also forgets the statements that PostgreSQL forgets.

        Raises:
            psycopg.Error: The command failed.
        """
        async with self.lock:
            self.pgconn.send_query(text)
            results: list[PGresult] = await self.wait(generators.execute(self.pgconn))
        result = results[-1]
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
        return result.command_status

    async def close(self) -> None:
        """Close the connection."""
        self._unregister()
        await super().close()

    async def _readable(self) -> None:
        if self._loop is None:
            loop, self._socket = asyncio.get_running_loop(), self.pgconn.socket
            loop.add_reader(self._socket, self._on_readable)
            self._loop = loop
        self._waiter = self._loop.create_future()
        await self._waiter

    def _on_readable(self) -> None:
        if self._waiter is None or self._waiter.done():
            self._unregister()  # else the loop would call this again at once, for ever
        else:
            self._waiter.set_result(None)

    def _unregister(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop = None

    async def _interrupt(self, gen: PQGen[Any]) -> None:
        """End the statement that runs, as psycopg would, or else the connection."""
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            await self.cancel_safe(timeout=CANCEL_SECONDS)
            await super().wait(gen, timeout=CANCEL_SECONDS)
        except psycopg.errors.QueryCanceled:
            pass
        except Exception:  # noqa: BLE001 - any error leaves the state of the server unknown
            self.pgconn.finish()


def _rest(gen: PQGen[T], state: Wait) -> Generator[Wait, Ready | int, T]:
    """Continue a generator that has already yielded `state`."""
    while True:
        ready = yield state
        try:
            state = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
