"""The SQL of mail to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    Interval,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import OUTBOX
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import Limit, NoParameters, NoRow, Statement
from services.kernel.db.tables import clock_once, seconds_since
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class WaitingMail:
    """A mail to be sent."""

    id: UUID
    sealed: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """A mail in the queue, without its contents and its reader."""

    id: UUID
    attempts: int
    last_error: str | None
    next_try_time: datetime
    create_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True, repr=False)
class SealedMail(QueuedMail):
    """A mail in the queue with its contents, encrypted."""

    sealed: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """How much mail waits, and how long the oldest has waited."""

    mails: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class _NewMail:
    mail_id: UUID
    sealed: bytes
    life: timedelta


@dataclass(frozen=True, slots=True)
class _Claim:
    lease: timedelta
    limit: int


@dataclass(frozen=True, slots=True)
class _ByMail:
    mail_id: UUID


@dataclass(frozen=True, slots=True)
class _ClaimOfMail:
    mail_id: UUID
    attempts: int


@dataclass(frozen=True, slots=True)
class _QueuePage:
    after: UUID
    limit: int


@dataclass(frozen=True, slots=True)
class _Postponement:
    mail_id: UUID
    pause: timedelta
    last_error: str


def _interval(name: str) -> object:
    return bindparam(name, type_=Interval)


_INSERT = Statement(
    insert(OUTBOX).values(
        id=bindparam("mail_id"),
        sealed=bindparam("sealed"),
        expire_time=func.saga_now() + _interval("life"),
    ),
    _NewMail,
    NoRow,
)
_DUE = (
    select(OUTBOX.c.id)
    .where(OUTBOX.c.next_try_time <= clock_once(), OUTBOX.c.expire_time > clock_once())
    .order_by(OUTBOX.c.next_try_time)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_CLAIM = Statement(
    update(OUTBOX)
    .where(OUTBOX.c.id == func.any(func.array(_DUE.scalar_subquery())))
    .values(attempts=OUTBOX.c.attempts + 1, next_try_time=func.saga_now() + _interval("lease"))
    .returning(OUTBOX.c.id, OUTBOX.c.sealed, OUTBOX.c.attempts),
    _Claim,
    WaitingMail,
)
_REMOVE = Statement(delete(OUTBOX).where(OUTBOX.c.id == bindparam("mail_id")), _ByMail, NoRow)
_POSTPONE = Statement(
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("mail_id"))
    .values(next_try_time=func.saga_now() + _interval("pause"), last_error=bindparam("last_error")),
    _Postponement,
    NoRow,
)
# Each claim raises the attempts, so another worker's claim has another number.
_GIVE_BACK = Statement(
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("mail_id"), OUTBOX.c.attempts == bindparam("attempts"))
    .values(next_try_time=func.saga_now()),
    _ClaimOfMail,
    NoRow,
)
# Enough to see that mail is stuck; the count of a longer queue ends there.
_WAITING = select(OUTBOX.c.create_time).limit(literal_column("10000")).subquery()
STANDING = Statement(
    select(
        func.count().label("mails"),
        seconds_since(func.min(_WAITING.c.create_time)).label("oldest_seconds"),
    ).select_from(_WAITING),
    NoParameters,
    Standing,
)
_QUEUED = (
    OUTBOX.c.id,
    OUTBOX.c.attempts,
    OUTBOX.c.last_error,
    OUTBOX.c.next_try_time,
    OUTBOX.c.create_time,
    OUTBOX.c.expire_time,
)
# Ids grow with time.
_QUEUE = Statement(
    select(*_QUEUED)
    .where(OUTBOX.c.id > bindparam("after"))
    .order_by(OUTBOX.c.id)
    .limit(bindparam("limit")),
    _QueuePage,
    QueuedMail,
)
_NEWEST = Statement(
    select(*_QUEUED, OUTBOX.c.sealed).order_by(OUTBOX.c.id.desc()).limit(bindparam("limit")),
    Limit,
    SealedMail,
)
# A mail without an error is due by itself, or somebody is sending it for the first time.
_MAKE_DUE = Statement(
    update(OUTBOX)
    .where(OUTBOX.c.last_error.is_not(None), OUTBOX.c.next_try_time > clock_once())
    .values(next_try_time=func.saga_now()),
    NoParameters,
    NoRow,
)
EXPIRED = old_rows("mail", OUTBOX, OUTBOX.c.expire_time)


async def insert_mail(tx: Transaction, *, sealed: bytes, life: timedelta) -> None:
    """Add a mail; `life` is how long it is worth sending."""
    await tx.execute(_INSERT, _NewMail(mail_id=new_id(), sealed=sealed, life=life))


async def claim(tx: Transaction, *, lease: timedelta, limit: int) -> list[WaitingMail]:
    """Claim mail that is due, is worth sending, and that no other worker claims.

    After the lease it is due again.
    """
    return await tx.all(_CLAIM, _Claim(lease=lease, limit=limit))


async def remove(tx: Transaction, mail_id: UUID) -> None:
    """Remove a mail that was sent, or never will be."""
    await tx.execute(_REMOVE, _ByMail(mail_id))


async def postpone(tx: Transaction, mail_id: UUID, *, pause: timedelta, last_error: str) -> None:
    """Make a mail due again after a pause."""
    await tx.execute(_POSTPONE, _Postponement(mail_id=mail_id, pause=pause, last_error=last_error))


async def give_back(tx: Transaction, waiting: WaitingMail) -> None:
    """Make a mail due at once, unless another worker has claimed it since."""
    await tx.execute(_GIVE_BACK, _ClaimOfMail(waiting.id, waiting.attempts))


async def queue(reader: Reader, *, after: UUID, limit: int) -> list[QueuedMail]:
    """Return the mail that waits after this one, the oldest first."""
    return await reader.all(_QUEUE, _QueuePage(after, limit))


async def newest(reader: Reader, *, limit: int) -> list[SealedMail]:
    """Return the mail that waits, the newest first, with its contents."""
    return await reader.all(_NEWEST, Limit(limit))


async def make_due(tx: Transaction) -> int:
    """Make mail that was postponed due now, and return how much."""
    return await tx.execute(_MAKE_DUE, NoParameters())


async def remove_expired(tx: Transaction, *, limit: int) -> int:
    """Remove mail whose time is over, and return the number."""
    return await tx.execute(EXPIRED.statement, Limit(limit))
