"""The SQL of leases: who may drive a saga, and until when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Integer,
    ScalarSelect,
    Text,
    Uuid,
    bindparam,
    case,
    func,
    literal_column,
    select,
    tuple_,
    update,
)

from services.kernel.db.database import Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.db.tables import SAGA_QUEUE, SAGAS, UNFINISHED, clock_once
from services.kernel.sagas.store import COLUMNS, LEASE_SECONDS, SagaRow, interval

LEASE: Final = timedelta(seconds=LEASE_SECONDS)
FIRST_ATTEMPT: Final = 1


class SagaQueue(IntEnum):
    """The queues of sagas that are due, as `SAGA_QUEUE` numbers them.

    What has failed must not hold up what has not.
    """

    FRESH = 0
    TRIED = 1
    PARKED = 2


@dataclass(frozen=True, slots=True)
class LeaseClaim:
    """The parameters of the statement that takes leases."""

    owner: str
    kinds: list[str]
    versions: list[int]
    lease: timedelta
    newest: int
    oldest: int
    tried: int
    parked: int


@dataclass(frozen=True, slots=True)
class HeldSaga:
    """A row that a statement about leases has changed."""

    id: UUID


@dataclass(frozen=True, slots=True)
class _Release:
    owner: str
    ids: list[UUID]
    epochs: list[int]


@dataclass(frozen=True, slots=True)
class _Renewal(_Release):
    lease: timedelta


@dataclass(frozen=True, slots=True)
class _Assurance:
    owner: str
    saga_id: UUID
    epoch: int
    lease: timedelta


@dataclass(frozen=True, slots=True)
class _SagaPostponement:
    saga_id: UUID
    epoch: int
    pause: timedelta
    last_error: str
    is_parked: bool


_KNOWN = (
    func.unnest(bindparam("kinds", type_=ARRAY(Text)), bindparam("versions", type_=ARRAY(Integer)))
    .table_valued("kind", "version", name="known")
    .render_derived()
)


def _due(queue: SagaQueue, limit: str, *, newest_first: bool = False) -> ScalarSelect[Any]:
    # By the id, too, so that the newest and the oldest differ unless there are only a few.
    order = (SAGAS.c.next_run_at, SAGAS.c.id)
    return (
        select(SAGAS.c.id)
        .where(
            UNFINISHED,
            literal_column(str(queue.value), Integer) == SAGA_QUEUE,
            SAGAS.c.next_run_at <= clock_once(),
            tuple_(SAGAS.c.kind, SAGAS.c.version).in_(select(_KNOWN.c.kind, _KNOWN.c.version)),
        )
        .order_by(*(each.desc() if newest_first else each for each in order))
        .limit(bindparam(limit))
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )


# Of fresh sagas also the newest: their callers still wait, and their time is not yet over.
_CHOSEN = (
    func.array(_due(SagaQueue.FRESH, "newest", newest_first=True))
    .op("||")(func.array(_due(SagaQueue.FRESH, "oldest")))
    .op("||")(func.array(_due(SagaQueue.TRIED, "tried")))
    .op("||")(func.array(_due(SagaQueue.PARKED, "parked")))
)
_CLAIM = Statement(
    update(SAGAS)
    # As an array, so that PostgreSQL looks each up, however many it expects.
    .where(SAGAS.c.id == func.any(_CHOSEN))
    .values(
        lease_owner=bindparam("owner"),
        lease_epoch=SAGAS.c.lease_epoch + 1,
        attempts=SAGAS.c.attempts + 1,
        next_run_at=func.saga_now() + interval("lease"),
        update_time=func.saga_now(),
    )
    .returning(*COLUMNS),
    LeaseClaim,
    SagaRow,
)
_HOLDING = (
    func.unnest(bindparam("ids", type_=ARRAY(Uuid)), bindparam("epochs", type_=ARRAY(Integer)))
    .table_valued("id", "epoch", name="holding")
    .render_derived()
)


def _held(*, skips_locked: bool) -> ColumnElement[bool]:
    """Select the sagas whose leases are held, and lock them.

    What another transaction has locked can be skipped: it decides that saga, or claims it.
    """
    return SAGAS.c.id == func.any(
        func.array(
            select(SAGAS.c.id)
            .select_from(SAGAS.join(_HOLDING, SAGAS.c.id == _HOLDING.c.id))
            .where(
                SAGAS.c.lease_epoch == _HOLDING.c.epoch,
                SAGAS.c.lease_owner == bindparam("owner"),
                UNFINISHED,
            )
            .with_for_update(of=SAGAS, skip_locked=skips_locked)
            .correlate(None)
            .scalar_subquery()
        )
    )


_FREE = {
    "next_run_at": func.saga_now(),
    "attempts": func.greatest(SAGAS.c.attempts - 1, 0),
    "lease_owner": None,
    "update_time": func.saga_now(),
}
_RENEW = Statement(
    update(SAGAS)
    .where(_held(skips_locked=True))
    .values(next_run_at=func.saga_now() + interval("lease"))
    .returning(SAGAS.c.id),
    _Renewal,
    HeldSaga,
)
_RELEASE = Statement(
    update(SAGAS).where(_held(skips_locked=True)).values(_FREE).returning(SAGAS.c.id),
    _Release,
    HeldSaga,
)
_RELEASE_LOCKED = Statement(
    update(SAGAS).where(_held(skips_locked=False)).values(_FREE).returning(SAGAS.c.id),
    _Release,
    HeldSaga,
)
_ENSURE = Statement(
    update(SAGAS)
    .where(
        SAGAS.c.id == bindparam("saga_id"),
        SAGAS.c.lease_epoch == bindparam("epoch"),
        SAGAS.c.lease_owner == bindparam("owner"),
        UNFINISHED,
    )
    .values(next_run_at=func.saga_now() + interval("lease"))
    .returning(SAGAS.c.id),
    _Assurance,
    HeldSaga,
)
_POSTPONE = Statement(
    update(SAGAS)
    .where(
        SAGAS.c.id == bindparam("saga_id"), SAGAS.c.lease_epoch == bindparam("epoch"), UNFINISHED
    )
    .values(
        next_run_at=func.saga_now() + interval("pause"),
        lease_owner=None,
        last_error=bindparam("last_error"),
        parked_at=case(
            (
                bindparam("is_parked", type_=Boolean),
                func.coalesce(SAGAS.c.parked_at, func.saga_now()),
            ),
            else_=SAGAS.c.parked_at,
        ),
        update_time=func.saga_now(),
    ),
    _SagaPostponement,
    NoRow,
)


async def claim_due(
    tx: Transaction,
    *,
    owner: str,
    kinds: Collection[tuple[str, int]],
    limits: Mapping[SagaQueue, int],
) -> list[SagaRow]:
    """Lease sagas that are due, skipping those that another worker takes.

    Args:
        tx: The transaction.
        owner: Names the process that takes the leases.
        kinds: The names and versions that it knows.
        limits: How many to take from each queue at most.
    """
    fresh = limits[SagaQueue.FRESH]
    claim = LeaseClaim(
        owner=owner,
        kinds=[name for name, _ in kinds],
        versions=[version for _, version in kinds],
        lease=LEASE,
        newest=fresh - fresh // 2,
        oldest=fresh // 2,
        tried=limits[SagaQueue.TRIED],
        parked=limits[SagaQueue.PARKED],
    )
    return await tx.all(_CLAIM, claim)


def queue_of(claimed: SagaRow) -> SagaQueue:
    """Return the queue from which a saga was claimed just now, which has counted the attempt."""
    if claimed.is_parked:
        return SagaQueue.PARKED
    attempts_before = claimed.attempts - 1
    return SagaQueue.TRIED if attempts_before > FIRST_ATTEMPT else SagaQueue.FRESH


async def renew(
    tx: Transaction, held: Sequence[tuple[UUID, int]], *, owner: str
) -> Collection[UUID]:
    """Prolong leases, given by saga and epoch, and return those that were prolonged.

    The others are lost, or another transaction has locked their sagas.
    """
    renewal = _Renewal(owner, [saga_id for saga_id, _ in held], [epoch for _, epoch in held], LEASE)
    return {row.id for row in await tx.all(_RENEW, renewal)}


async def ensure(tx: Transaction, saga_id: UUID, epoch: int, *, owner: str) -> bool:
    """Prolong one lease if nobody has taken it since; say so."""
    return await tx.first(_ENSURE, _Assurance(owner, saga_id, epoch, LEASE)) is not None


async def release(
    tx: Transaction, held: Sequence[tuple[UUID, int]], *, owner: str, waits: bool
) -> Collection[UUID]:
    """Give leases back, so that the sagas are due at once; it was no attempt.

    Args:
        tx: The transaction.
        held: The sagas and the epochs of their leases.
        owner: Names the process that holds them.
        waits: Whether to wait for transactions that have locked sagas. They are skipped otherwise.
    """
    release = _Release(owner, [saga_id for saga_id, _ in held], [epoch for _, epoch in held])
    rows = await tx.all(_RELEASE_LOCKED if waits else _RELEASE, release)
    return {row.id for row in rows}


async def postpone(
    tx: Transaction,
    saga_id: UUID,
    epoch: int,
    *,
    pause_seconds: float,
    last_error: str,
    is_parked: bool,
) -> None:
    """Give a lease back after a failure; change nothing when another process has it by now."""
    pause = timedelta(seconds=pause_seconds)
    await tx.execute(_POSTPONE, _SagaPostponement(saga_id, epoch, pause, last_error, is_parked))
