"""The SQL of sagas. Every change of state is a compare-and-set; one row decides."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    DateTime,
    Double,
    Interval,
    Text,
    bindparam,
    case,
    cast,
    delete,
    extract,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.db.tables import SAGAS, UNFINISHED
from services.kernel.errors import ErrorRecord
from services.kernel.rpc import tracing
from services.kernel.sagas.model import NewSaga, P, R, Saga, SagaState

LEASE_SECONDS: Final = 2.0
FIRST_EPOCH: Final = 1


@dataclass(frozen=True, slots=True)
class SagaRow:
    """A saga as PostgreSQL has it, its JSON as text.

    Reading it cannot fail, whatever it holds: a row that cannot be understood must stop nobody
    who reads others beside it. So `saga_of` reads the JSON, of one row at a time.
    """

    id: UUID
    kind: str
    version: int
    state: str
    payload: str
    result: str | None
    error: str | None
    user_id: UUID | None
    attempts: int
    lease_epoch: int
    is_parked: bool
    deadline_at: datetime | None
    seconds_left: float | None
    create_time: datetime
    update_time: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class BySaga:
    """The parameter of a statement about one saga."""

    saga_id: UUID


@dataclass(frozen=True, slots=True)
class _Insertion:
    saga_id: UUID
    kind: str
    version: int
    payload: Jsonb
    user_id: UUID | None
    owner: str
    lease: timedelta
    deadline: timedelta | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class _Holding:
    saga_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class _Completion:
    saga_id: UUID
    epoch: int
    result: Jsonb


@dataclass(frozen=True, slots=True)
class _Turn:
    saga_id: UUID
    epoch: int
    error: Jsonb
    lease: timedelta


_EARLIEST, _LATEST = (
    literal_column(f"timestamptz '{year}-01-01 00:00Z'", DateTime(timezone=True))
    for year in ("0002", "9999")
)


def interval(name: str) -> BindParameter[timedelta]:
    """Return a parameter for an interval."""
    return bindparam(name, type_=Interval)


def readable(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a moment that Python can read: its years are 1 to 9999, and it has no infinity."""
    return case((moment < _EARLIEST, _EARLIEST), (moment > _LATEST, _LATEST), else_=moment)


_DEADLINE = readable(SAGAS.c.deadline_at)
COLUMNS = (
    SAGAS.c.id,
    SAGAS.c.kind,
    SAGAS.c.version,
    SAGAS.c.state,
    *(cast(each, Text).label(each.name) for each in (SAGAS.c.payload, SAGAS.c.result)),
    cast(SAGAS.c.error, Text).label("error"),
    SAGAS.c.user_id,
    SAGAS.c.attempts,
    SAGAS.c.lease_epoch,
    SAGAS.c.parked_at.is_not(None).label("is_parked"),
    _DEADLINE.label("deadline_at"),
    cast(extract("epoch", _DEADLINE - func.saga_now()), Double).label("seconds_left"),
    readable(SAGAS.c.create_time).label("create_time"),
    readable(SAGAS.c.update_time).label("update_time"),
    SAGAS.c.traceparent,
)
_BY_ID = SAGAS.c.id == bindparam("saga_id")
# A later claim has raised the epoch, so the former holder decides nothing.
_HELD = _BY_ID & (SAGAS.c.lease_epoch == bindparam("epoch"))

_INSERT = Statement(
    insert(SAGAS)
    .values(
        id=bindparam("saga_id"),
        kind=bindparam("kind"),
        version=bindparam("version"),
        state="RUNNING",
        payload=bindparam("payload"),
        user_id=bindparam("user_id"),
        lease_owner=bindparam("owner"),
        next_run_at=func.saga_now() + interval("lease"),
        deadline_at=func.saga_now() + interval("deadline"),
        update_time=func.saga_now(),
        traceparent=bindparam("traceparent"),
    )
    .on_conflict_do_nothing()
    .returning(*COLUMNS),
    _Insertion,
    SagaRow,
)
_REMOVE = Statement(delete(SAGAS).where(_BY_ID), BySaga, NoRow)
_CONFIRM = Statement(
    update(SAGAS).where(_BY_ID).values(update_time=func.saga_now()).returning(*COLUMNS),
    BySaga,
    SagaRow,
)
_DONE = Statement(
    update(SAGAS)
    .where(_HELD, literal_column("state IN ('RUNNING', 'DONE')", Boolean))
    .values(
        state="DONE",
        result=func.coalesce(SAGAS.c.result, bindparam("result")),
        parked_at=None,
        update_time=func.saga_now(),
    )
    .returning(*COLUMNS),
    _Completion,
    SagaRow,
)
_COMPENSATING = Statement(
    update(SAGAS)
    .where(_HELD, UNFINISHED)
    .values(
        state="COMPENSATING",
        error=func.coalesce(SAGAS.c.error, bindparam("error")),
        next_run_at=func.saga_now() + interval("lease"),
        update_time=func.saga_now(),
    )
    .returning(*COLUMNS),
    _Turn,
    SagaRow,
)
_ABORTED = Statement(
    update(SAGAS)
    .where(_HELD, literal_column("state IN ('COMPENSATING', 'ABORTED')", Boolean))
    .values(state="ABORTED", parked_at=None, update_time=func.saga_now())
    .returning(*COLUMNS),
    _Holding,
    SagaRow,
)
_GET = Statement(select(*COLUMNS).where(_BY_ID), BySaga, SagaRow)


async def insert_saga(
    tx: Transaction,
    new: NewSaga[P, R],
    *,
    owner: str,
    lease_seconds: float,
    deadline_seconds: float | None,
    traceparent: str | None = None,
) -> Saga | None:
    """Begin a saga; None when it has begun already."""
    insertion = _Insertion(
        saga_id=new.id,
        kind=new.kind.name,
        version=new.kind.version,
        payload=Jsonb(new.kind.payload_json(new.payload)),
        user_id=new.user_id,
        owner=owner,
        lease=timedelta(seconds=lease_seconds),
        deadline=None if deadline_seconds is None else timedelta(seconds=deadline_seconds),
        traceparent=traceparent,
    )
    row = await tx.first(_INSERT, insertion)
    return _optional(row)


async def leave(tx: Transaction, new: NewSaga[P, R]) -> None:
    """Begin a saga that only goes forward, for recovery to take up: nobody waits for its end."""
    begun = await insert_saga(
        tx,
        new,
        owner="",
        lease_seconds=0.0,
        deadline_seconds=None,
        traceparent=tracing.traceparent(),
    )
    assert begun is not None


async def remove(tx: Transaction, saga_id: UUID) -> None:
    """Remove a saga that has not begun after all."""
    await tx.execute(_REMOVE, BySaga(saga_id))


async def confirm(tx: Transaction, saga_id: UUID) -> Saga:
    """Write to a saga that exists, so that the state read here is committed, too."""
    row = await tx.first(_CONFIRM, BySaga(saga_id))
    assert row is not None
    return saga_of(row)


async def mark_done(tx: Transaction, saga: Saga, result: object) -> Saga | None:
    """Decide for DONE, with a result as JSON.

    None when it was decided otherwise, or another process has the lease by now.
    """
    row = await tx.first(_DONE, _Completion(saga.id, saga.lease_epoch, Jsonb(result)))
    return _optional(row)


async def mark_compensating(
    tx: Transaction, saga: Saga, error: ErrorRecord, *, lease_seconds: float
) -> Saga | None:
    """Decide for COMPENSATING; None as for `mark_done`."""
    kept = Jsonb(error.to_json())
    turn = _Turn(saga.id, saga.lease_epoch, kept, timedelta(seconds=lease_seconds))
    row = await tx.first(_COMPENSATING, turn)
    return _optional(row)


async def mark_aborted(tx: Transaction, saga: Saga) -> Saga | None:
    """End a compensation; None as for `mark_done`, or when there is none."""
    row = await tx.first(_ABORTED, _Holding(saga.id, saga.lease_epoch))
    return _optional(row)


async def get(reader: Reader, saga_id: UUID) -> Saga | None:
    """Return a saga, or None."""
    row = await reader.first(_GET, BySaga(saga_id))
    return _optional(row)


def _optional(row: SagaRow | None) -> Saga | None:
    return None if row is None else saga_of(row)


def saga_of(row: SagaRow) -> Saga:
    """Return the saga of a row that was read just now.

    Raises:
        ValueError, RecursionError: Python cannot read what it holds.
    """
    left = row.seconds_left
    return Saga(
        id=row.id,
        kind=row.kind,
        version=row.version,
        state=SagaState(row.state),
        payload=json.loads(row.payload),
        result=None if row.result is None else json.loads(row.result),
        kept_error=None if row.error is None else json.loads(row.error),
        user_id=row.user_id,
        attempts=row.attempts,
        lease_epoch=row.lease_epoch,
        not_after=row.deadline_at,
        expires=None if left is None else time.monotonic() + left,
        create_time=row.create_time,
        update_time=row.update_time,
        traceparent=row.traceparent,
    )
