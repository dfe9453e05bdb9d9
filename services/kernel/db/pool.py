"""The connections of a database, those in use and those at hand.

psycopg's pool connects, reconnects, and closes connections that are old or idle. But to
take one from it costs as much as a short statement, and to wait for one costs twice that.
So connections are lent here, and the pool gets them back a while later.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from services.kernel.db.connection import Connection

WAIT_SECONDS = 2.0
WAITING_PER_CONNECTION = 20
# Connections go back to the pool this often. Only there are old ones closed, and only
# there does the pool see how many are needed.
KEEP_SECONDS = 30.0


class Connections:
    """Lend the connections of a pool, each to one borrower at a time, first come first served.

    Args:
        pool: The pool that makes the connections.
        at_most: The number of connections in use at once: the pool's `max_size`.
    """

    def __init__(self, pool: AsyncConnectionPool[Connection], at_most: int) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(at_most)
        self._waiting = 0
        self._waiting_max = at_most * WAITING_PER_CONNECTION
        self._at_hand: list[Connection] = []  # the last one used is lent first: its caches are warm
        self._tidying: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """Start to connect, in the background: the database may be down."""
        await self._pool.open(wait=False)
        self._tidying = asyncio.create_task(self._tidy(), name=f"{self._pool.name} connections")

    async def close(self, seconds: float = 5.0) -> None:
        """Disconnect."""
        self._closing.set()
        if self._tidying is not None:
            await asyncio.wait([self._tidying], timeout=seconds)
        await self.give_back()
        await self._pool.close(timeout=seconds)

    async def borrow(self) -> Connection:
        """Lend a connection; `put` it back.

        Raises:
            PoolTimeout: No connection came free, or could be made, in time.
            TooManyRequests: Too many callers wait already.
        """
        if self._turns.locked():
            await self._wait()
        else:
            await self._turns.acquire()
        try:
            return self._at_hand.pop() if self._at_hand else await self._pool.getconn()
        except BaseException:
            self._turns.release()
            raise

    async def put(self, connection: Connection) -> None:
        """Take back a connection that was lent."""
        try:
            is_idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
            if is_idle and not self._pool.closed:
                self._at_hand.append(connection)
            else:
                await self._pool.putconn(connection)
        finally:
            self._turns.release()

    async def check(self) -> None:
        """Replace dead connections: after a restart of the server each one fails once."""
        await self.give_back()
        await self._pool.check()

    async def give_back(self) -> None:
        """Return the idle connections to the pool."""
        while self._at_hand:
            await self._pool.putconn(self._at_hand.pop())

    async def _wait(self) -> None:
        if self._waiting >= self._waiting_max:
            raise TooManyRequests(f"{self._waiting} callers wait for a connection already")
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise PoolTimeout(f"no connection came free in {WAIT_SECONDS} seconds") from error
        finally:
            self._waiting -= 1

    async def _tidy(self) -> None:
        """Give back now and then. Do not cancel it: a connection on its way would be lost."""
        while not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), KEEP_SECONDS)
            await self.give_back()
