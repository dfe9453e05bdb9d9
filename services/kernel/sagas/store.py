"""The SQL of sagas. Every change of state is a compare-and-set; one row decides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import (
    ARRAY,
    BindParameter,
    Boolean,
    Interval,
    Text,
    bindparam,
    case,
    extract,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.tables import SAGAS
from services.kernel.db.untyped import Row, Untyped

Json = dict[str, Any]

LEASE_SECONDS = 10.0


class SagaState(StrEnum):
    """How far a saga is."""

    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    DONE = "DONE"
    ABORTED = "ABORTED"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self in (SagaState.DONE, SagaState.ABORTED)


@dataclass(frozen=True, slots=True)
class Saga:
    """A saga as its row had it.

    Attributes:
        payload: What its steps need; never a secret.
        result: What the caller is told, once DONE.
        error: What the caller is told, once COMPENSATING (see `DomainError.record`).
        expires: When it turns back, on the clock of `time.monotonic`; None: never.
        not_after: The same on the database's clock, for the participants.
    """

    id: UUID
    kind: str
    state: SagaState
    payload: Json
    result: Json | None
    error: Json | None
    user_id: UUID | None
    attempts: int
    last_error: str | None
    lease_epoch: int
    parked: bool
    not_after: datetime | None
    expires: float | None
    next_run_at: datetime
    create_time: datetime
    update_time: datetime


def _interval(name: str) -> BindParameter[timedelta]:
    return bindparam(name, type_=Interval)


_LEFT = extract("epoch", SAGAS.c.deadline_at - func.saga_now()).label("seconds_left")
_COLUMNS = (*SAGAS.c, _LEFT)
_BY_ID = SAGAS.c.id == bindparam("saga_id")
_UNFINISHED = literal_column("state IN ('RUNNING', 'COMPENSATING')", Boolean)

_INSERT = Untyped(
    insert(SAGAS)
    .values(
        id=bindparam("saga_id"),
        kind=bindparam("kind"),
        state="RUNNING",
        payload=bindparam("payload"),
        user_id=bindparam("user_id"),
        lease_owner=bindparam("owner"),
        next_run_at=func.saga_now() + _interval("lease"),
        deadline_at=func.saga_now() + _interval("deadline"),
    )
    .on_conflict_do_nothing()
    .returning(*_COLUMNS)
)
_CONFIRM = Untyped(
    update(SAGAS).where(_BY_ID).values(update_time=func.saga_now()).returning(*_COLUMNS)
)
_DONE = Untyped(
    update(SAGAS)
    .where(_BY_ID, literal_column("state IN ('RUNNING', 'DONE')", Boolean))
    .values(
        state="DONE",
        result=func.coalesce(SAGAS.c.result, bindparam("result")),
        parked_at=None,
        update_time=func.saga_now(),
    )
    .returning(*_COLUMNS)
)
_COMPENSATING = Untyped(
    update(SAGAS)
    .where(_BY_ID, _UNFINISHED)
    .values(
        state="COMPENSATING",
        error=func.coalesce(SAGAS.c.error, bindparam("error")),
        next_run_at=func.saga_now() + _interval("lease"),
        update_time=func.saga_now(),
    )
    .returning(*_COLUMNS)
)
_ABORTED = Untyped(
    update(SAGAS)
    .where(_BY_ID, literal_column("state IN ('COMPENSATING', 'ABORTED')", Boolean))
    .values(state="ABORTED", parked_at=None, update_time=func.saga_now())
    .returning(*_COLUMNS)
)
_DUE = (
    select(SAGAS.c.id)
    .where(
        _UNFINISHED,
        SAGAS.c.next_run_at <= func.saga_now(),
        SAGAS.c.kind == func.any(bindparam("kinds", type_=ARRAY(Text))),
    )
    .order_by(SAGAS.c.next_run_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_CLAIM = Untyped(
    update(SAGAS)
    .where(SAGAS.c.id.in_(_DUE))
    .values(
        lease_owner=bindparam("owner"),
        lease_epoch=SAGAS.c.lease_epoch + 1,
        attempts=SAGAS.c.attempts + 1,
        next_run_at=func.saga_now() + _interval("lease"),
        update_time=func.saga_now(),
    )
    .returning(*_COLUMNS)
)
_RESCHEDULE = Untyped(
    update(SAGAS)
    .where(_BY_ID, _UNFINISHED, SAGAS.c.lease_epoch == bindparam("epoch"))
    .values(
        next_run_at=func.saga_now() + _interval("pause"),
        last_error=func.coalesce(bindparam("last_error", type_=Text), SAGAS.c.last_error),
        parked_at=case(
            (
                bindparam("is_parked", type_=Boolean),
                func.coalesce(SAGAS.c.parked_at, func.saga_now()),
            ),
            else_=SAGAS.c.parked_at,
        ),
        update_time=func.saga_now(),
    )
)
_RETRY = Untyped(
    update(SAGAS)
    .where(_BY_ID, _UNFINISHED)
    .values(next_run_at=func.saga_now(), parked_at=None, attempts=0, update_time=func.saga_now())
    .returning(*_COLUMNS)
)
_GET = Untyped(select(*_COLUMNS).where(_BY_ID))
_LIST = Untyped(
    select(*_COLUMNS)
    .where(
        or_(
            bindparam("state", type_=Text).is_(None),
            SAGAS.c.state == bindparam("state", type_=Text),
        ),
        or_(bindparam("kind", type_=Text).is_(None), SAGAS.c.kind == bindparam("kind", type_=Text)),
        or_(bindparam("any_parked", type_=Boolean), SAGAS.c.parked_at.is_not(None)),
        tuple_(SAGAS.c.create_time, SAGAS.c.id)
        < tuple_(
            bindparam("before_time", type_=SAGAS.c.create_time.type),
            bindparam("before_id", type_=SAGAS.c.id.type),
        ),
    )
    .order_by(SAGAS.c.create_time.desc(), SAGAS.c.id.desc())
    .limit(bindparam("limit"))
)


async def insert_saga(
    tx: Transaction,
    *,
    saga_id: UUID,
    kind: str,
    payload: Json,
    user_id: UUID | None,
    owner: str,
    lease_seconds: float,
    deadline_seconds: float | None,
) -> Saga | None:
    """Begin a saga; None when it has begun already."""
    row = await tx.first(
        _INSERT,
        saga_id=saga_id,
        kind=kind,
        payload=Jsonb(payload),
        user_id=user_id,
        owner=owner,
        lease=timedelta(seconds=lease_seconds),
        deadline=None if deadline_seconds is None else timedelta(seconds=deadline_seconds),
    )
    return None if row is None else _saga(row)


async def confirm(tx: Transaction, saga_id: UUID) -> Saga:
    """Write to a saga that exists, so that what was read of it is committed too."""
    return _saga(await tx.first(_CONFIRM, saga_id=saga_id))


async def mark_done(tx: Transaction, saga_id: UUID, result: Json) -> Saga | None:
    """Decide for DONE; None when it was decided otherwise."""
    return _optional(await tx.first(_DONE, saga_id=saga_id, result=Jsonb(result)))


async def mark_compensating(
    tx: Transaction, saga_id: UUID, error: Json, *, lease_seconds: float
) -> Saga | None:
    """Decide for COMPENSATING; None when it was decided otherwise."""
    return _optional(
        await tx.first(
            _COMPENSATING,
            saga_id=saga_id,
            error=Jsonb(error),
            lease=timedelta(seconds=lease_seconds),
        )
    )


async def mark_aborted(tx: Transaction, saga_id: UUID) -> Saga | None:
    """End a compensation; None when there is none."""
    return _optional(await tx.first(_ABORTED, saga_id=saga_id))


async def claim_due(
    tx: Transaction, *, owner: str, kinds: Sequence[str], lease_seconds: float, limit: int
) -> list[Saga]:
    """Lease sagas that are due, skipping those that another worker takes."""
    rows = await tx.all(
        _CLAIM, owner=owner, kinds=list(kinds), lease=timedelta(seconds=lease_seconds), limit=limit
    )
    return [_saga(row) for row in rows]


async def reschedule(
    tx: Transaction, saga: Saga, *, pause_seconds: float, last_error: str | None, is_parked: bool
) -> None:
    """Give a lease back; changes nothing when somebody else has it by now."""
    await tx.execute(
        _RESCHEDULE,
        saga_id=saga.id,
        epoch=saga.lease_epoch,
        pause=timedelta(seconds=pause_seconds),
        last_error=last_error,
        is_parked=is_parked,
    )


async def retry_now(tx: Transaction, saga_id: UUID) -> Saga | None:
    """Make an unfinished saga due; None when it has ended or there is none."""
    return _optional(await tx.first(_RETRY, saga_id=saga_id))


async def get(reader: Reader, saga_id: UUID) -> Saga | None:
    """Return a saga, or None."""
    return _optional(await reader.first(_GET, saga_id=saga_id))


async def list_sagas(
    reader: Reader,
    *,
    state: SagaState | None,
    kind: str | None,
    parked: bool,
    before: tuple[datetime, UUID],
    limit: int,
) -> list[Saga]:
    """Return sagas, newest first, older than `before`."""
    rows = await reader.all(
        _LIST,
        state=state,
        kind=kind,
        any_parked=not parked,
        before_time=before[0],
        before_id=before[1],
        limit=limit,
    )
    return [_saga(row) for row in rows]


def _optional(row: Row | None) -> Saga | None:
    return None if row is None else _saga(row)


def _saga(row: Row) -> Saga:
    left = row.seconds_left
    return Saga(
        id=row.id,
        kind=row.kind,
        state=SagaState(row.state),
        payload=row.payload,
        result=row.result,
        error=row.error,
        user_id=row.user_id,
        attempts=row.attempts,
        last_error=row.last_error,
        lease_epoch=row.lease_epoch,
        parked=row.parked_at is not None,
        not_after=row.deadline_at,
        expires=None if left is None else time.monotonic() + float(left),
        next_run_at=row.next_run_at,
        create_time=row.create_time,
        update_time=row.update_time,
    )
