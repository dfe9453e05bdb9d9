"""The SQL of sagas. Every change of state is a compare-and-set; one row decides."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import (
    ARRAY,
    BindParameter,
    Boolean,
    Double,
    Integer,
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
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.db.tables import SAGAS, clock_once
from services.kernel.errors import ErrorRecord
from services.kernel.sagas.model import NewSaga, P, R, Saga, SagaState

LEASE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SagaRow:
    """A row of `sagas`, and how long it has until its deadline."""

    id: UUID
    kind: str
    state: SagaState
    payload: object
    result: object
    error: object
    user_id: UUID | None
    attempts: int
    last_error: str | None
    lease_owner: str | None
    lease_epoch: int
    next_run_at: datetime
    deadline_at: datetime | None
    parked_at: datetime | None
    create_time: datetime
    update_time: datetime
    version: int
    seconds_left: float | None


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


@dataclass(frozen=True, slots=True)
class _Completion:
    saga_id: UUID
    result: Jsonb


@dataclass(frozen=True, slots=True)
class _Turn:
    saga_id: UUID
    error: Jsonb
    lease: timedelta


@dataclass(frozen=True, slots=True)
class LeaseClaim:
    """The parameters of the statement that takes leases."""

    owner: str
    kinds: list[str]
    versions: list[int]
    lease: timedelta
    limit: int


@dataclass(frozen=True, slots=True)
class _Rescheduling:
    saga_id: UUID
    epoch: int
    pause: timedelta
    last_error: str | None
    is_parked: bool


def _interval(name: str) -> BindParameter[timedelta]:
    return bindparam(name, type_=Interval)


_LEFT = cast(extract("epoch", SAGAS.c.deadline_at - func.saga_now()), Double).label("seconds_left")
COLUMNS = (*SAGAS.c, _LEFT)
_BY_ID = SAGAS.c.id == bindparam("saga_id")
_UNFINISHED = literal_column("state IN ('RUNNING', 'COMPENSATING')", Boolean)

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
        next_run_at=func.saga_now() + _interval("lease"),
        deadline_at=func.saga_now() + _interval("deadline"),
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
    .where(_BY_ID, literal_column("state IN ('RUNNING', 'DONE')", Boolean))
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
    .where(_BY_ID, _UNFINISHED)
    .values(
        state="COMPENSATING",
        error=func.coalesce(SAGAS.c.error, bindparam("error")),
        next_run_at=func.saga_now() + _interval("lease"),
        update_time=func.saga_now(),
    )
    .returning(*COLUMNS),
    _Turn,
    SagaRow,
)
_ABORTED = Statement(
    update(SAGAS)
    .where(_BY_ID, literal_column("state IN ('COMPENSATING', 'ABORTED')", Boolean))
    .values(state="ABORTED", parked_at=None, update_time=func.saga_now())
    .returning(*COLUMNS),
    BySaga,
    SagaRow,
)
_KNOWN = (
    func.unnest(bindparam("kinds", type_=ARRAY(Text)), bindparam("versions", type_=ARRAY(Integer)))
    .table_valued("kind", "version", name="known")
    .render_derived()
)
_DUE = (
    select(SAGAS.c.id)
    .where(
        _UNFINISHED,
        SAGAS.c.next_run_at <= clock_once(),
        tuple_(SAGAS.c.kind, SAGAS.c.version).in_(select(_KNOWN.c.kind, _KNOWN.c.version)),
    )
    .order_by(SAGAS.c.next_run_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_CLAIM = Statement(
    update(SAGAS)
    # As an array, so that PostgreSQL looks each up, however many it expects.
    .where(SAGAS.c.id == func.any(func.array(_DUE.scalar_subquery())))
    .values(
        lease_owner=bindparam("owner"),
        lease_epoch=SAGAS.c.lease_epoch + 1,
        attempts=SAGAS.c.attempts + 1,
        next_run_at=func.saga_now() + _interval("lease"),
        update_time=func.saga_now(),
    )
    .returning(*COLUMNS),
    LeaseClaim,
    SagaRow,
)
_RESCHEDULE = Statement(
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
    ),
    _Rescheduling,
    NoRow,
)
_RETRY = Statement(
    update(SAGAS)
    .where(_BY_ID, _UNFINISHED)
    .values(next_run_at=func.saga_now(), parked_at=None, attempts=0, update_time=func.saga_now())
    .returning(*COLUMNS),
    BySaga,
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
    )
    row = await tx.first(_INSERT, insertion)
    return _optional(row)


async def remove(tx: Transaction, saga_id: UUID) -> None:
    """Remove a saga that has not begun after all."""
    await tx.execute(_REMOVE, BySaga(saga_id))


async def confirm(tx: Transaction, saga_id: UUID) -> Saga:
    """Write to a saga that exists, so that the state read here is committed, too."""
    row = await tx.first(_CONFIRM, BySaga(saga_id))
    assert row is not None
    return saga_of(row)


async def mark_done(tx: Transaction, saga_id: UUID, result: object) -> Saga | None:
    """Decide for DONE, with a result as JSON; None when it was decided otherwise."""
    row = await tx.first(_DONE, _Completion(saga_id, Jsonb(result)))
    return _optional(row)


async def mark_compensating(
    tx: Transaction, saga_id: UUID, error: ErrorRecord, *, lease_seconds: float
) -> Saga | None:
    """Decide for COMPENSATING; None when it was decided otherwise."""
    kept = Jsonb(error.to_json())
    turn = _Turn(saga_id, kept, timedelta(seconds=lease_seconds))
    row = await tx.first(_COMPENSATING, turn)
    return _optional(row)


async def mark_aborted(tx: Transaction, saga_id: UUID) -> Saga | None:
    """End a compensation; None when there is none."""
    row = await tx.first(_ABORTED, BySaga(saga_id))
    return _optional(row)


async def claim_due(
    tx: Transaction,
    *,
    owner: str,
    kinds: Collection[tuple[str, int]],
    lease_seconds: float,
    limit: int,
) -> list[Saga]:
    """Lease sagas that are due, skipping those that another worker takes.

    Args:
        tx: The transaction.
        owner: Names the process that takes the leases.
        kinds: The names and versions that it knows.
        lease_seconds: How long the leases hold.
        limit: How many to take at most.
    """
    claim = LeaseClaim(
        owner=owner,
        kinds=[name for name, _ in kinds],
        versions=[version for _, version in kinds],
        lease=timedelta(seconds=lease_seconds),
        limit=limit,
    )
    return [saga_of(row) for row in await tx.all(_CLAIM, claim)]


async def reschedule(
    tx: Transaction, saga: Saga, *, pause_seconds: float, last_error: str | None, is_parked: bool
) -> None:
    """Give a lease back; change nothing when another process has it by now."""
    pause = timedelta(seconds=pause_seconds)
    await tx.execute(
        _RESCHEDULE, _Rescheduling(saga.id, saga.lease_epoch, pause, last_error, is_parked)
    )


async def retry_now(tx: Transaction, saga_id: UUID) -> Saga | None:
    """Make an unfinished saga due; None when it has ended or there is none."""
    row = await tx.first(_RETRY, BySaga(saga_id))
    return _optional(row)


async def get(reader: Reader, saga_id: UUID) -> Saga | None:
    """Return a saga, or None."""
    row = await reader.first(_GET, BySaga(saga_id))
    return _optional(row)


def _optional(row: SagaRow | None) -> Saga | None:
    return None if row is None else saga_of(row)


def saga_of(row: SagaRow) -> Saga:
    """Return the saga of a row that was read just now."""
    left = row.seconds_left
    return Saga(
        id=row.id,
        kind=row.kind,
        version=row.version,
        state=row.state,
        payload=row.payload,
        result=row.result,
        kept_error=row.error,
        user_id=row.user_id,
        attempts=row.attempts,
        last_error=row.last_error,
        lease_epoch=row.lease_epoch,
        parked=row.parked_at is not None,
        not_after=row.deadline_at,
        expires=None if left is None else time.monotonic() + left,
        next_run_at=row.next_run_at,
        create_time=row.create_time,
        update_time=row.update_time,
    )
