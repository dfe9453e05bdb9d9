"""The sequencer: it gives committed events consecutive numbers, the places of readers.

Any number of replicas run it, and one works at a time: the lock of one row decides. If a process
leaves in the middle, PostgreSQL gives its numbers back, and another goes on (ADR 11).
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import structlog
from opentelemetry.metrics import Meter

from services.kernel.db.database import Database, Transaction
from services.kernel.db.survey import Survey
from services.kernel.errors import DatabaseUnavailable
from services.kernel.events import store
from services.kernel.events.store import BACKLOG, Backlog
from services.kernel.tasks import BackgroundTask, Loop, Pulse, end
from services.kernel.telemetry.metrics import NO_METER, create_counter

SEQUENCE: Final = "sequence"
POLL_SECONDS: Final = 0.25
NUMBERED_AT_ONCE: Final = 500

log = structlog.get_logger("lockstep.events")


class Sequencer(BackgroundTask, Loop):
    """Numbers the events of one database as they are committed."""

    def __init__(self, database: Database, meter: Meter = NO_METER) -> None:
        super().__init__(self._run, name="sequencer")
        self.pulse = Pulse("sequencer")
        self._database = database
        self._numbered = create_counter(
            meter,
            "lockstep.events.sequenced",
            unit="{event}",
            description="Events that got their number",
        )

    async def restart(self) -> None:
        """Give up a round that does not end, and begin anew."""
        await end(self._task)
        await self._database.abandon(SEQUENCE)
        self.start()

    async def sequence(self) -> int:
        """Number a batch of the events that wait, and return how many it was.

        Raises:
            DatabaseUnavailable: The database did not answer in time.
        """

        async def work(tx: Transaction) -> int:
            head = await store.lock_head(tx)
            if head is None:
                return 0
            return await store.number(tx, head=head, limit=NUMBERED_AT_ONCE)

        if not await store.is_waiting(self._database):
            return 0
        count = await self._database.transact(SEQUENCE, work)
        self._numbered.add(count)
        return count

    async def _run(self) -> None:
        while True:
            try:
                count = await self.sequence()
                self.pulse.beat()
                if count == NUMBERED_AT_ONCE:
                    continue
            except DatabaseUnavailable:
                log.warning("cannot sequence")
            except Exception:
                log.exception("cannot sequence")
            await asyncio.sleep(POLL_SECONDS * random.uniform(0.8, 1.2))


def event_survey(database: Database, meter: Meter) -> Survey[Backlog]:
    """Return the survey of the events that wait for their number."""
    survey = Survey(database, meter, BACKLOG, "events")
    survey.gauge(
        "lockstep.events.waiting",
        lambda row: row.events,
        unit="{event}",
        description="Events that are committed and have no number yet",
    )
    survey.gauge(
        "lockstep.events.oldest.age",
        lambda row: row.oldest_seconds,
        unit="s",
        description="The longest wait of an event for its number",
    )
    return survey
