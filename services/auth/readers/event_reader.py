"""Reads the events of a service into Auth's database.

What comes of a page of events is committed together with the cursor after it. So each event
takes effect once, whenever the process is killed and however many replicas read.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients import LockstepError, OutOfRange
from opentelemetry.metrics import Meter

from services.auth.store import event_cursors
from services.auth.store.event_cursors import ReaderPlace
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DatabaseUnavailable
from services.kernel.events.reader import CursorExpired
from services.kernel.tasks import BackgroundTask, Loop, Pulse, end
from services.kernel.telemetry.metrics import NO_METER

POLL_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 5.0
PAGE_SIZE: Final = 100

ListEvents = Callable[[event_pb.ListEventsRequest], Awaitable[event_pb.ListEventsResponse]]
Handler = Callable[[Transaction, Sequence[event_pb.Event]], Awaitable[None]]
IsWanted = Callable[[], Awaitable[bool]]

log = structlog.get_logger("lockstep.events")


class EventReader(BackgroundTask, Loop):
    """Reads on from where it was, in any number of replicas.

    Args:
        database: Auth's database.
        place: The reader and the service whose events it reads.
        list_events: ListEvents of that service.
        handler: Writes what comes of events, in the transaction that moves the cursor.
        meter: Creates the metrics.
        is_wanted: Whether anybody wants the events now; None: always.
    """

    def __init__(
        self,
        database: Database,
        place: ReaderPlace,
        list_events: ListEvents,
        handler: Handler,
        *,
        is_wanted: IsWanted | None = None,
        meter: Meter = NO_METER,
    ) -> None:
        super().__init__(self._run, name=f"{place.reader}-{place.source}")
        self.pulse = Pulse(self._name)
        self._database = database
        self._place = place
        self._list = list_events
        self._handler = handler
        self._is_wanted = is_wanted
        self._missed = meter.create_counter(
            "lockstep.event_reader.missed",
            unit="{gap}",
            description="Times that events were no longer kept when they were to be read",
        )

    async def restart(self) -> None:
        """Give up a round that does not end, and begin anew."""
        await end(self._task)
        await self._database.abandon(self._name)
        self.start()

    async def read(self) -> bool:
        """Read a page, and return whether there are more events.

        Raises:
            DatabaseUnavailable: The database did not answer in time.
            LockstepError: The service did not answer.
        """
        cursor = await event_cursors.get(self._database, self._place)
        is_idle = self._is_wanted is not None and not await self._is_wanted()
        self.pulse.beat()
        if cursor is None:
            await self._database.transact(self._name, self._begin)
            return not is_idle
        if is_idle:
            await self._begin_anew(cursor)
            return False
        request = event_pb.ListEventsRequest(after=cursor, page_size=PAGE_SIZE)
        try:
            page = await self._list(request)
        except (OutOfRange, CursorExpired):
            if await self._begin_anew(cursor):
                log.warning("events missed", reader=self._place.reader, source=self._place.source)
                self._missed.add(1)
            return True
        if page.next_cursor != cursor:
            await self._take(cursor, page)
        return page.more

    async def _begin(self, tx: Transaction) -> None:
        await event_cursors.begin(tx, self._place)

    async def _take(self, cursor: str, page: event_pb.ListEventsResponse) -> None:
        async def work(tx: Transaction) -> None:
            if await event_cursors.move(tx, self._place, old=cursor, new=page.next_cursor):
                await self._handler(tx, page.events)

        await self._database.transact(self._name, work)

    async def _begin_anew(self, cursor: str) -> bool:
        """Go on with the first event that is kept; False when another process does."""

        async def work(tx: Transaction) -> bool:
            return await event_cursors.move(tx, self._place, old=cursor, new="")

        return bool(cursor) and await self._database.transact(self._name, work)

    async def _run(self) -> None:
        while True:
            pause = POLL_SECONDS
            try:
                if await self.read():
                    continue
            except DatabaseUnavailable:
                log.warning("cannot read events", reader=self._name)
            except LockstepError as error:
                pause = PAUSE_SECONDS
                log.warning("cannot read events", reader=self._name, error=type(error).__name__)
            except Exception:
                pause = PAUSE_SECONDS
                log.exception("cannot read events", reader=self._name)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
