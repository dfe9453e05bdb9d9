"""Reads the events of a service into Auth's database.

What comes of a page of events is committed together with the cursor after it. So each event
takes effect once, whenever the process is killed and however many replicas read.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final

import structlog
from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients import LockstepError, OutOfRange
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from services.auth.domain.backoff import Backoff
from services.auth.store import event_cursors
from services.auth.store.event_cursors import ReaderPlace
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DatabaseUnavailable
from services.kernel.events.reader import CursorExpired
from services.kernel.tasks import BackgroundTask, Loop, Pulse, end

PAGE_SIZE: Final = 100
POLL_SECONDS: Final = 1.0
# With the time of a call, the longest pause is shorter than the silence after which a loop is
# started anew.
BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(seconds=15))

ListEvents = Callable[[event_pb.ListEventsRequest], Awaitable[event_pb.ListEventsResponse]]
Handler = Callable[[Transaction, Sequence[event_pb.Event]], Awaitable[None]]
IsWanted = Callable[[], Awaitable[bool]]

log = structlog.get_logger("lockstep.events")


async def always() -> bool:
    """Want events."""
    return True


async def never() -> bool:
    """Want no events."""
    return False


class EventReader(BackgroundTask, Loop):
    """Reads on from where it was, in any number of replicas.

    Args:
        database: Auth's database.
        place: The reader and the service whose events it reads.
        list_events: ListEvents of that service.
        handler: Writes what comes of events, in the transaction that moves the cursor.
        types: The types of events to read; none: all.
        is_wanted: Whether anybody wants the events now. A reader that nobody wants forgets
            its place, and begins anew when somebody does.

    Attributes:
        place: The reader and the service.
        missed: How often events were no longer kept when they were to be read.
    """

    def __init__(
        self,
        database: Database,
        place: ReaderPlace,
        list_events: ListEvents,
        handler: Handler,
        *,
        types: Sequence[str] = (),
        is_wanted: IsWanted = always,
    ) -> None:
        super().__init__(self._run, name=f"{place.reader}-{place.source}")
        self.pulse = Pulse(self._name)
        self.place: Final = place
        self.missed = 0
        self._database = database
        self._list = list_events
        self._handler = handler
        self._types = types
        self._is_wanted = is_wanted
        self._failures = 0
        # The time of the oldest event that waits, or since when nothing is known; None: none waits.
        self._behind_since: float | None = time.time()

    @property
    def behind_seconds(self) -> float:
        """How long the oldest event has waited, or the reader has not been able to look."""
        since = self._behind_since
        return 0.0 if since is None else max(0.0, time.time() - since)

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
        cursor = await event_cursors.get(self._database, self.place)
        is_wanted = await self._is_wanted()
        self.pulse.beat()
        if not is_wanted:
            self._behind_since = None
            if cursor is not None:
                await self._change(event_cursors.forget)
            return False
        if cursor is None:
            await self._change(event_cursors.begin)
            return True
        try:
            page = await self._list(
                event_pb.ListEventsRequest(after=cursor, types=self._types, page_size=PAGE_SIZE)
            )
        except (OutOfRange, CursorExpired):
            await self._begin_anew(cursor)
            return True
        if page.next_cursor != cursor:
            await self._take(cursor, page)
        self._look_back(page)
        return page.more

    async def _change(self, change: Callable[[Transaction, ReaderPlace], Awaitable[None]]) -> None:
        await self._database.transact(self._name, lambda tx: change(tx, self.place))

    async def _take(self, cursor: str, page: event_pb.ListEventsResponse) -> None:
        async def work(tx: Transaction) -> None:
            if await event_cursors.move(tx, self.place, old=cursor, new=page.next_cursor):
                await self._handler(tx, page.events)

        await self._database.transact(self._name, work)

    async def _begin_anew(self, cursor: str) -> None:
        """Go on with the first event that is kept, and tell so, unless another process does."""

        async def work(tx: Transaction) -> bool:
            return await event_cursors.move(tx, self.place, old=cursor, new="")

        if await self._database.transact(self._name, work) and cursor:
            log.warning("events missed", reader=self.place.reader, source=self.place.source)
            self.missed += 1

    def _look_back(self, page: event_pb.ListEventsResponse) -> None:
        """Note that all was read, or that what is left is as old as the last event, or younger."""
        if not page.more:
            self._behind_since = None
        elif page.events:
            self._behind_since = page.events[-1].create_time.ToNanoseconds() / 1e9

    async def _run(self) -> None:
        while True:
            try:
                if await self._read_and_note():
                    continue
            except (LockstepError, DatabaseUnavailable) as error:
                if not self._failures:  # the first of several tells enough
                    name = type(error).__name__
                    log.warning("cannot read events", reader=self._name, error=name)
                self._note_failure()
            except Exception:
                log.exception("cannot read events", reader=self._name)
                self._note_failure()
            await asyncio.sleep(self._pause_seconds())

    def _pause_seconds(self) -> float:
        if self._failures:
            return BACKOFF.after(self._failures).total_seconds()
        return POLL_SECONDS * random.uniform(0.8, 1.2)

    async def _read_and_note(self) -> bool:
        has_more = await self.read()
        if self._failures:
            log.info("reads events again", reader=self._name)
        self._failures = 0
        return has_more

    def _note_failure(self) -> None:
        self._failures += 1
        if self._behind_since is None:
            self._behind_since = time.time()


def measure(readers: Sequence[EventReader], meter: Meter) -> None:
    """Measure how far readers are behind, and how often they have missed events."""

    def observed(number: Callable[[EventReader], float]) -> Callable[..., Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for each in readers:
                names = {
                    "lockstep.reader": each.place.reader,
                    "lockstep.service": each.place.source,
                }
                yield Observation(number(each), names)

        return observe

    meter.create_observable_gauge(
        "lockstep.event_reader.behind",
        callbacks=[observed(lambda each: each.behind_seconds)],
        unit="s",
        description="How long the oldest event has waited to be read",
    )
    meter.create_observable_counter(
        "lockstep.event_reader.missed",
        callbacks=[observed(lambda each: each.missed)],
        unit="{gap}",
        description="Times that events were no longer kept when they were to be read",
    )
