"""Cleaning up: old rows are removed, a bounded number in each transaction."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import structlog
from sqlalchemy import bindparam, delete, func, select, text, tuple_

from services.kernel.db.database import Database, Transaction
from services.kernel.db.statement import Limit, NoRow, Statement
from services.kernel.db.tables import IDEMPOTENCY, SAGA_BARRIERS, SAGAS
from services.kernel.errors import DatabaseUnavailable

EVERY_SECONDS = 300.0
ROWS_AT_ONCE = 1000

log = structlog.get_logger("lockstep.janitor")

_WEEK = text("interval '7 days'")

ENDED_SAGAS = Statement(
    delete(SAGAS).where(
        SAGAS.c.id.in_(
            select(SAGAS.c.id)
            .where(
                text("state IN ('DONE', 'ABORTED')"),
                SAGAS.c.update_time < func.saga_now() - _WEEK,
            )
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)
OLD_BARRIERS = Statement(
    delete(SAGA_BARRIERS).where(
        tuple_(SAGA_BARRIERS.c.saga_id, SAGA_BARRIERS.c.branch).in_(
            select(SAGA_BARRIERS.c.saga_id, SAGA_BARRIERS.c.branch)
            .where(
                func.coalesce(SAGA_BARRIERS.c.not_after, SAGA_BARRIERS.c.create_time)
                < func.saga_now() - _WEEK
            )
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)
OLD_KEYS = Statement(
    delete(IDEMPOTENCY).where(
        tuple_(IDEMPOTENCY.c.scope, IDEMPOTENCY.c.method, IDEMPOTENCY.c.key_hmac).in_(
            select(IDEMPOTENCY.c.scope, IDEMPOTENCY.c.method, IDEMPOTENCY.c.key_hmac)
            .where(IDEMPOTENCY.c.expire_time < func.saga_now())
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)


class Cleaner:
    """Remove old rows every few minutes.

    Args:
        database: The database to clean.
        cleanups: Statements that each delete at most `limit` rows.
    """

    def __init__(self, database: Database, cleanups: Sequence[Statement[Limit, NoRow]]) -> None:
        self._database = database
        self._cleanups = cleanups
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first round comes at a random time, so that replicas do not sweep at once."""
        self._task = asyncio.create_task(self._run(), name="janitor")

    async def stop(self) -> None:
        """Stop, in the middle of a round if need be."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sweep(self) -> int:
        """Do one round and return how many rows it removed."""
        return sum([await self._sweep(statement) for statement in self._cleanups])

    async def _sweep(self, statement: Statement[Limit, NoRow]) -> int:
        async def remove(tx: Transaction) -> int:
            return await tx.execute(statement, Limit(ROWS_AT_ONCE))

        total = 0
        while (removed := await self._database.transact("sweep", remove)) > 0:
            total += removed
        return total

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS * random.uniform(0.5, 1.5))
            try:
                removed = await self.sweep()
                log.info("swept", rows=removed)
            except DatabaseUnavailable:
                log.warning("could not sweep")
            except Exception:
                log.exception("could not sweep")
