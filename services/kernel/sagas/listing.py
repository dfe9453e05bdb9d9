"""The SQL of sagas as operators see them.

It reads nothing of what the steps carry. So a saga that cannot be understood hides no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Text, bindparam, func, literal_column, or_, select, update

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import Statement, newest_first
from services.kernel.db.tables import SAGAS, UNFINISHED
from services.kernel.sagas.model import SagaState
from services.kernel.sagas.store import BySaga, readable


@dataclass(frozen=True, slots=True)
class SagaSummary:
    """A saga as operators see it.

    Attributes:
        reason: The reason of the error that its caller is told.
        last_error: The error of the last step that failed.
    """

    id: UUID
    kind: str
    state: SagaState
    attempts: int
    reason: str | None
    last_error: str | None
    is_parked: bool
    user_id: UUID | None
    next_run_at: datetime
    deadline_at: datetime | None
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class _SagaPage:
    state: str | None
    kind: str | None
    any_parked: bool
    before_time: datetime
    before_id: UUID
    limit: int


_COLUMNS = (
    SAGAS.c.id,
    SAGAS.c.kind,
    SAGAS.c.state,
    SAGAS.c.attempts,
    literal_column("error ->> 'reason'", Text).label("reason"),
    SAGAS.c.last_error,
    SAGAS.c.parked_at.is_not(None).label("is_parked"),
    SAGAS.c.user_id,
    *(
        readable(each).label(each.name)
        for each in (
            SAGAS.c.next_run_at,
            SAGAS.c.deadline_at,
            SAGAS.c.create_time,
            SAGAS.c.update_time,
        )
    ),
)
_BY_ID = SAGAS.c.id == bindparam("saga_id")
_GET = Statement(select(*_COLUMNS).where(_BY_ID), BySaga, SagaSummary)
_LIST = Statement(
    newest_first(
        select(*_COLUMNS).where(
            or_(
                bindparam("state", type_=Text).is_(None),
                SAGAS.c.state == bindparam("state", type_=Text),
            ),
            or_(
                bindparam("kind", type_=Text).is_(None),
                SAGAS.c.kind == bindparam("kind", type_=Text),
            ),
            or_(bindparam("any_parked", type_=Boolean), SAGAS.c.parked_at.is_not(None)),
        ),
        SAGAS,
    ),
    _SagaPage,
    SagaSummary,
    is_planned_anew=True,  # the filters that are given say which index serves
)
_RETRY = Statement(
    update(SAGAS)
    .where(_BY_ID, UNFINISHED)
    .values(next_run_at=func.saga_now(), parked_at=None, attempts=0, update_time=func.saga_now())
    .returning(*_COLUMNS),
    BySaga,
    SagaSummary,
)


async def get_summary(reader: Reader, saga_id: UUID) -> SagaSummary | None:
    """Return a saga, or None."""
    return await reader.first(_GET, BySaga(saga_id))


async def list_sagas(
    reader: Reader,
    *,
    state: SagaState | None,
    kind: str | None,
    parked: bool,
    before: tuple[datetime, UUID],
    limit: int,
) -> list[SagaSummary]:
    """Return sagas, newest first, older than `before`."""
    return await reader.all(_LIST, _SagaPage(state, kind, not parked, *before, limit))


async def retry_now(tx: Transaction, saga_id: UUID) -> SagaSummary | None:
    """Make an unfinished saga due; None when it has ended or there is none."""
    return await tx.first(_RETRY, BySaga(saga_id))
