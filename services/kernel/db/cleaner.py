"""Cleaning up: old rows are removed, a bounded number in each transaction."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from opentelemetry.metrics import Meter, Observation
from sqlalchemy import (
    ColumnElement,
    Select,
    SelectBase,
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    union_all,
)

from services.kernel.db.database import Database, Transaction
from services.kernel.db.statement import Limit, NoRow, Statement
from services.kernel.db.tables import (
    AUDIT_LOG,
    ENDED,
    IDEMPOTENCY,
    SAGA_BARRIERS,
    SAGAS,
    clock_once,
)
from services.kernel.errors import DatabaseUnavailable
from services.kernel.tasks import BackgroundTask, Loop, Pulse, end
from services.kernel.telemetry.metrics import NO_METER, create_counter

BARRIERS_KEPT = "7 days"
"""How long a barrier stays after the last moment at which its step may come, tombstones too.

It must be far longer than the clocks of two services may differ (see `CLOCK_ALLOWANCE`):
a tombstone that is gone refuses nothing.
"""
EVERY_SECONDS = 300.0
ROWS_AT_ONCE = 1000
SWEEP = "sweep"
SORT: Final = "lockstep.janitor.sort"

log = structlog.get_logger("lockstep.janitor")


@dataclass(frozen=True, slots=True)
class Cleanup:
    """A statement that removes the rows of one sort whose time is over.

    Attributes:
        name: The name of these rows in logs.
        statement: Removes at most `limit` of them.
    """

    name: str
    statement: Statement[Limit, NoRow]


def old_rows(
    name: str,
    table: Table,
    moment: ColumnElement[Any],
    *,
    age: str | None = None,
    only: ColumnElement[bool] | None = None,
) -> Cleanup:
    """Return the clean-up of the rows whose moment is over, the oldest first.

    An index on the moment must serve it, one of these rows alone if `only` is given.

    Args:
        name: The name of the clean-up.
        table: The table.
        moment: The moment of a row.
        age: The interval by which the moment must be over, such as "7 days".
        only: A further condition.
    """
    conditions = [moment < clock_once(ago=age)]
    if only is not None:
        conditions.append(only)
    # Sorted, because PostgreSQL expects a third of all rows to be due, and would read them all.
    due = select(row_place(table)).where(*conditions).order_by(moment).limit(bindparam("limit"))
    return Cleanup(name, removal(table, due, *conditions))


def removal(
    table: Table, places: Select[Any], *conditions: ColumnElement[bool]
) -> Statement[Limit, NoRow]:
    """Return a statement that removes the rows of a table at these places.

    PostgreSQL goes straight to a place, however many rows it expects. With keys instead it
    would read the whole table once it expects many.

    Args:
        table: The table.
        places: Selects places (see `row_place`), with the parameter `limit`.
        conditions: What must still hold of a row when it is locked: another transaction may
            have changed it since it was chosen.
    """
    return Statement(
        delete(table).where(_is_at(table, places.correlate(None)), *conditions), Limit, NoRow
    )


def at_most(table: Table, *alternatives: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return what is true of as many rows of a table as the parameter `limit` says.

    A statement that changes them asks for one of the alternatives once more: another
    transaction may have changed a row since it was chosen.

    Args:
        table: The table.
        alternatives: One of these conditions holds of each row. An index serves each of them:
            of one condition with OR, PostgreSQL cannot tell how few the rows are.
    """
    rows = select(row_place(table)).select_from(table).correlate(None)
    places = union_all(*(rows.where(each) for each in alternatives))
    return _is_at(table, places.limit(bindparam("limit")))


def _is_at(table: Table, places: SelectBase) -> ColumnElement[bool]:
    return row_place(table) == func.any(func.array(places.scalar_subquery()))


def row_place(table: Table) -> ColumnElement[Any]:
    """Return the place of a row in its table, which is true for one statement only."""
    return literal_column(f"{table.name}.ctid")


ENDED_SAGAS: Final = old_rows("sagas", SAGAS, SAGAS.c.update_time, age="7 days", only=ENDED)
OLD_BARRIERS: Final = old_rows(
    "barriers",
    SAGA_BARRIERS,
    func.coalesce(SAGA_BARRIERS.c.not_after, SAGA_BARRIERS.c.create_time),
    age=BARRIERS_KEPT,
)
OLD_KEYS: Final = old_rows("idempotency keys", IDEMPOTENCY, IDEMPOTENCY.c.expire_time)
# Its trigger refuses to remove what is younger.
OLD_AUDIT: Final = old_rows("audit log", AUDIT_LOG, AUDIT_LOG.c.create_time, age="1 year")


class Cleaner(BackgroundTask, Loop):
    """Remove old rows every few minutes.

    The first round comes at a random time, so that replicas do not sweep at once.
    """

    def __init__(
        self, database: Database, cleanups: Sequence[Cleanup], meter: Meter = NO_METER
    ) -> None:
        super().__init__(self._run, name="janitor")
        self.pulse = Pulse("janitor", seconds=2 * EVERY_SECONDS)
        self._database = database
        self._cleanups = cleanups
        self._last_success = time.monotonic()
        self._rounds = create_counter(
            meter, "lockstep.janitor.rounds", unit="{round}", description="Rounds of the clean-up"
        )
        self._rows = create_counter(
            meter,
            "lockstep.janitor.rows",
            unit="{row}",
            description="Rows that the clean-up removed",
            attributes=[{SORT: each.name} for each in cleanups],
        )
        meter.create_observable_gauge(
            "lockstep.janitor.last_success.age",
            callbacks=[lambda _: [Observation(time.monotonic() - self._last_success)]],
            unit="s",
            description="The time since the last round in which no clean-up failed",
        )

    async def restart(self) -> None:
        """Give up a round that does not end, and wait for the next."""
        await end(self._task)
        await self._database.abandon(SWEEP)
        self.start()

    async def sweep(self) -> int:
        """Do one round and return how many rows it removed.

        A clean-up that fails stops no other.
        """
        removed, succeeded = dict[str, int](), True
        for each in self._cleanups:
            try:
                async for rows in self._batches(each):
                    removed[each.name] = removed.get(each.name, 0) + rows
            except DatabaseUnavailable:
                log.warning("could not sweep", cleanup=each.name)
                succeeded = False
            except Exception:
                log.exception("could not sweep", cleanup=each.name)
                succeeded = False
        self._note(removed, succeeded=succeeded)
        return sum(removed.values())

    async def _batches(self, cleanup: Cleanup) -> AsyncIterator[int]:
        """Remove rows until fewer than a transaction's worth are due; give the numbers."""

        async def remove(tx: Transaction) -> int:
            return await tx.execute(cleanup.statement, Limit(ROWS_AT_ONCE))

        rows = ROWS_AT_ONCE
        while rows == ROWS_AT_ONCE:
            rows = await self._database.transact(SWEEP, remove)
            self.pulse.beat()
            yield rows

    def _note(self, removed: Mapping[str, int], *, succeeded: bool) -> None:
        went = {name: rows for name, rows in removed.items() if rows}
        log.info("swept", rows=sum(went.values()), removed=went)
        self._rounds.add(1)
        for name, rows in went.items():
            self._rows.add(rows, {SORT: name})
        if succeeded:
            self._last_success = time.monotonic()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS * random.uniform(0.5, 1.5))
            await self.sweep()
