"""The connections of a database, those in use and those at hand.

psycopg's pool connects, reconnects and lets go of what is old or idle. What it does to
lend a connection costs as much as a short statement, though, and waiting for one in it
twice that; so connections are lent here, and the pool gets them back a while later.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from services.kernel.db.connection import Connection

WAIT_SECONDS = 2.0
WAITING_PER_CONNECTION = 20
# Until the pool sees again what it has given: only then can it close what is too old,
# and tell how many connections are needed.
KEEP_SECONDS = 30.0


class Connections:
    """Lends the connections of a pool, each to one borrower at a time, first come first served.

    Args:
        pool: Where they come from.
        at_most: How many may be in use at once: the pool's `max_size`.
    """

    def __init__(self, pool: AsyncConnectionPool[Connection], at_most: int) -> None:
        """See the class."""
        self._pool = pool
        self._turns = asyncio.Semaphore(at_most)
        self._waiting = 0
        self._waiting_max = at_most * WAITING_PER_CONNECTION
        self._at_hand: list[Connection] = []  # the last one used on top: its caches are warm
        self._tidying: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """Start connecting; a database that is down is waited for in the background."""
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
        """Return a connection; `put` it back.

        Raises:
            PoolTimeout: None came free, or none could be made, in time.
            TooManyRequests: Too many wait already.
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
        """Take back what was borrowed."""
        try:
            is_idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
            if is_idle and not self._pool.closed:
                self._at_hand.append(connection)
            else:
                await self._pool.putconn(connection)
        finally:
            self._turns.release()

    async def check(self) -> None:
        """Replace the dead ones: after a restart of the server every connection fails once."""
        await self.give_back()
        await self._pool.check()

    async def give_back(self) -> None:
        """Let the pool have what nobody uses."""
        while self._at_hand:
            await self._pool.putconn(self._at_hand.pop())

    async def _wait(self) -> None:
        if self._waiting >= self._waiting_max:
            raise TooManyRequests(f"{self._waiting} wait for a connection already")
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise PoolTimeout(f"no connection came free in {WAIT_SECONDS} seconds") from error
        finally:
            self._waiting -= 1

    async def _tidy(self) -> None:
        """Give back now and then; not cancelled, which would lose what is on its way."""
        while not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), KEEP_SECONDS)
            await self.give_back()
