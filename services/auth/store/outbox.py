"""The SQL of mail to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Interval, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import OUTBOX
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import Limit, NoRow, Statement
from services.kernel.db.untyped import Untyped
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class Waiting:
    """A mail that is to be sent."""

    id: UUID
    sealed: bytes
    attempts: int


def _interval(name: str) -> object:
    return bindparam(name, type_=Interval)


_INSERT = Untyped(
    insert(OUTBOX).values(
        id=bindparam("mail_id"),
        sealed=bindparam("sealed"),
        expire_time=func.saga_now() + _interval("life"),
    )
)
_DUE = (
    select(OUTBOX.c.id)
    .where(OUTBOX.c.next_try_time <= func.saga_now())
    .order_by(OUTBOX.c.next_try_time)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_CLAIM = Untyped(
    update(OUTBOX)
    .where(OUTBOX.c.id.in_(_DUE))
    .values(attempts=OUTBOX.c.attempts + 1, next_try_time=func.saga_now() + _interval("lease"))
    .returning(OUTBOX.c.id, OUTBOX.c.sealed, OUTBOX.c.attempts)
)
_REMOVE = Untyped(delete(OUTBOX).where(OUTBOX.c.id == bindparam("mail_id")))
_POSTPONE = Untyped(
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("mail_id"))
    .values(next_try_time=func.saga_now() + _interval("pause"), last_error=bindparam("last_error"))
)
_COUNT = Untyped(select(func.count().label("waiting")).select_from(OUTBOX))
EXPIRED = Statement(
    delete(OUTBOX).where(
        OUTBOX.c.id.in_(
            select(OUTBOX.c.id)
            .where(OUTBOX.c.expire_time <= func.saga_now())
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)


async def insert_mail(tx: Transaction, *, sealed: bytes, life: timedelta) -> None:
    """Add a mail that is worth sending for so long."""
    await tx.execute(_INSERT, mail_id=new_id(), sealed=sealed, life=life)


async def claim(tx: Transaction, *, lease: timedelta, limit: int) -> list[Waiting]:
    """Take mail that is due, skipping what others take; it is due again after the lease."""
    rows = await tx.all(_CLAIM, lease=lease, limit=limit)
    return [Waiting(id=row.id, sealed=bytes(row.sealed), attempts=row.attempts) for row in rows]


async def remove(tx: Transaction, mail_id: UUID) -> None:
    """Forget a mail that was sent, or never will be."""
    await tx.execute(_REMOVE, mail_id=mail_id)


async def postpone(tx: Transaction, mail_id: UUID, *, pause: timedelta, last_error: str) -> None:
    """Try a mail again later."""
    await tx.execute(_POSTPONE, mail_id=mail_id, pause=pause, last_error=last_error)


async def remove_expired(tx: Transaction, *, limit: int) -> int:
    """Forget mail whose time is over, and return how many."""
    return await tx.execute(EXPIRED, Limit(limit))


async def count(reader: Reader) -> int:
    """Return how many mails wait."""
    row = await reader.first(_COUNT)
    return 0 if row is None else int(row.waiting)
