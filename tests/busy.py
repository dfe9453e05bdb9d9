"""A database whose connections are all taken, as by more requests than it can serve."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.kernel.db.database import Database, Transaction


@contextlib.asynccontextmanager
async def all_connections_taken(database: Database) -> AsyncIterator[None]:
    """Take every connection of a database until the context ends, for some seconds at most."""
    number = database._pool.max_size
    taken, released = asyncio.Semaphore(0), asyncio.Event()

    async def hold(tx: Transaction) -> None:
        taken.release()
        await released.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(database.transact("hold", hold))
        for _ in range(number):
            await taken.acquire()
        yield
        released.set()
