"""A connection to PostgreSQL that waits cheaply.

psycopg registers its socket with the event loop whenever it waits, and takes it away
again: two system calls for each of PostgreSQL's answers. Here the socket stays
registered until something comes that nobody waits for.
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

# For a statement that is interrupted: to ask the server, and then for it to end.
CANCEL_SECONDS = 5.0


class Connection(psycopg.AsyncConnection[Any]):
    """A connection; see the module.

    Attributes:
        cursors: Of the statements that ran here. A cursor that runs the same again
            knows already how to write its parameters and how to read its rows.
    """

    def __init__(self, pgconn: PGconn, row_factory: AsyncRowFactory[Any] = tuple_row) -> None:
        """Take over what libpq has connected."""
        super().__init__(pgconn, row_factory)
        self.cursors: dict[object, psycopg.AsyncCursor[Any]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # where the socket is registered
        self._socket = -1
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109 - psycopg's
        """Let psycopg do something here, and wait whenever it has to."""
        if timeout is not None:
            self._unregister()
            return await super().wait(gen, interval, timeout)
        try:
            state = next(gen)
            while state == Wait.R:
                await self._readable()
                state = gen.send(Ready.R)
            self._unregister()
            # A statement so long that it waits to be sent.
            return await super().wait(_rest(gen, state), interval)
        except StopIteration as end:
            if self.pgconn.status == ConnStatus.BAD:
                self._unregister()  # as below: an error may be a result, too
            result: T = end.value
            return result
        except asyncio.CancelledError:
            self._unregister()
            await self._interrupt(gen)
            raise
        except BaseException:
            self._unregister()  # libpq may have closed it, and its number may come again
            raise

    async def command(self, text: bytes) -> bytes | None:
        """Run BEGIN or COMMIT, at half of what a cursor takes for it, and return its tag.

        Not for ROLLBACK: a cursor knows what to forget after it.

        Raises:
            psycopg.Error: It failed.
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
            self._unregister()  # or the loop would come back here for ever
        else:
            self._waiter.set_result(None)

    def _unregister(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop = None

    async def _interrupt(self, gen: PQGen[Any]) -> None:
        """End the statement under way, as psycopg would, or else the connection."""
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            await self.cancel_safe(timeout=CANCEL_SECONDS)
            await super().wait(gen, timeout=CANCEL_SECONDS)
        except psycopg.errors.QueryCanceled:
            pass
        except Exception:  # noqa: BLE001 - whatever it is, nobody knows what the server does
            self.pgconn.finish()


def _rest(gen: PQGen[T], state: Wait) -> Generator[Wait, Ready | int, T]:
    """Go on with a generator that has got as far as to wait for something."""
    while True:
        ready = yield state
        try:
            state = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
