"""The SQL of the events about orders that were told by mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import ORDER_MAILS
from services.kernel.db.cleaner import Cleanup, old_rows
from services.kernel.db.database import Transaction
from services.kernel.db.statement import Statement
from services.kernel.events.store import KEPT_DAYS


@dataclass(frozen=True, slots=True)
class _Events:
    event_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class _Marked:
    event_id: UUID


_given = func.unnest(bindparam("event_ids", type_=ARRAY(Uuid))).column_valued("event_id")
_MARK = Statement(
    insert(ORDER_MAILS)
    .from_select(["event_id"], select(_given))
    .on_conflict_do_nothing()
    .returning(ORDER_MAILS.c.event_id),
    _Events,
    _Marked,
)


@cache
def old_marks(days: int) -> Cleanup:
    """Return the clean-up of the marks of events that no service keeps for so many days."""
    return old_rows("order mails", ORDER_MAILS, ORDER_MAILS.c.create_time, age=f"{days} days")


OLD_MARKS = old_marks(KEPT_DAYS + 1)


async def mark(tx: Transaction, event_ids: Sequence[UUID]) -> set[UUID]:
    """Mark events as told by mail, and return those that were not marked before."""
    return {row.event_id for row in await tx.all(_MARK, _Events(list(event_ids)))}
