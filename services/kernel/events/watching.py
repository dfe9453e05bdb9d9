"""Watches: a reader gets new events as they come, until the watch ends.

A watch holds no connection while it waits, or while its reader takes what was sent. All watches
of a process share one question for the last number.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator
from typing import Final

from services.kernel.db.database import Database
from services.kernel.events import store
from services.kernel.events.reader import Cursor, EventFilter, EventsRead, read_events
from services.kernel.rpc.call import Call

POLL_SECONDS: Final = 0.25
ADMIT_SECONDS: Final = 5.0
# A watch ends so long before its caller's time is over, so that it ends in good order.
END_SECONDS: Final = 1.0


class Watching:
    """The watches of one database.

    Args:
        database: The database of the events.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._head: asyncio.Task[int] | None = None

    async def watch(
        self, after: Cursor | None, wanted: EventFilter, call: Call, *, limit: int
    ) -> AsyncIterator[EventsRead]:
        """Yield the events after a cursor, and then new ones, until the call is to end.

        The first page comes at once, and may be empty.

        Raises:
            CursorExpired: Events after the cursor are no longer kept.
            DomainError: The caller is no longer admitted.
        """
        last = after
        admitted_at = time.monotonic()
        while True:
            found = await read_events(self._database, last, wanted, limit=limit)
            if last is after or found.cursor != last:
                yield found
            last = found.cursor
            has_more = found.more
            while True:
                if call.leaving.is_set() or call.remaining() < END_SECONDS:
                    return
                admitted_at = await _admitted(call, admitted_at)
                if has_more:
                    break
                has_more = await self._next_head() > last.sequence

    async def _next_head(self) -> int:
        """Return the last number, a pause later: all who wait share the question."""
        if self._head is None or self._head.done():
            # A caller's trace and log must not have what is done for all of them.
            nobody = contextvars.Context()
            self._head = asyncio.get_running_loop().create_task(self._ask(), context=nobody)
        return await asyncio.shield(self._head)

    async def _ask(self) -> int:
        await asyncio.sleep(POLL_SECONDS)
        return await store.get_head(self._database)


async def _admitted(call: Call, before: float) -> float:
    """Check now and then that the caller is still admitted; return when it was checked."""
    if time.monotonic() - before < ADMIT_SECONDS:
        return before
    assert call.admit is not None
    await call.admit()
    return time.monotonic()
