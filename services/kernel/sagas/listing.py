"""The SQL of the list of sagas, which operators look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Text, bindparam, or_, select, tuple_

from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement
from services.kernel.db.tables import SAGAS
from services.kernel.sagas.model import Saga, SagaState
from services.kernel.sagas.store import COLUMNS, SagaRow, saga_of


@dataclass(frozen=True, slots=True)
class _SagaPage:
    state: str | None
    kind: str | None
    any_parked: bool
    before_time: datetime
    before_id: UUID
    limit: int


_LIST = Statement(
    select(*COLUMNS)
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
    .limit(bindparam("limit")),
    _SagaPage,
    SagaRow,
    is_planned_anew=True,  # the filters that are given say which index serves
)


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
    page = _SagaPage(state, kind, not parked, *before, limit)
    return [saga_of(row) for row in await reader.all(_LIST, page)]
