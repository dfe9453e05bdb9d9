"""The participant's side of a saga: each branch happens once, or never.

The barrier's row is committed with the branch's own change. A repeat finds it and
gets the stored reply; a cancellation leaves a tombstone that a late branch meets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter
from sqlalchemy import DateTime, bindparam, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.db.tables import SAGA_BARRIERS as BARRIERS
from services.kernel.errors import DomainError, ErrorRecord, RecordedError, SagaCancelled
from services.kernel.sagas.model import read_stored

T = TypeVar("T")

TIME = "time"
"""The participant's time, among the metadata of a refusal because of the time."""


@dataclass(frozen=True, slots=True)
class _Branch:
    saga_id: UUID
    branch: str


@dataclass(frozen=True, slots=True)
class _BranchClaim(_Branch):
    not_after: datetime | None


@dataclass(frozen=True, slots=True)
class _BranchReply(_Branch):
    state: str
    reply: Jsonb


@dataclass(frozen=True, slots=True)
class _Claimed:
    time: datetime
    is_late: bool | None


@dataclass(frozen=True, slots=True)
class _BarrierRow:
    state: str
    reply: object


_KEY = (BARRIERS.c.saga_id == bindparam("saga_id")) & (BARRIERS.c.branch == bindparam("branch"))

_CLAIM = Statement(
    insert(BARRIERS)
    .values(
        saga_id=bindparam("saga_id"),
        branch=bindparam("branch"),
        state="DONE",
        not_after=bindparam("not_after"),
    )
    .on_conflict_do_nothing()
    .returning(
        func.saga_now().label("time"),
        (func.saga_now() > bindparam("not_after", type_=DateTime(timezone=True))).label("is_late"),
    ),
    _BranchClaim,
    _Claimed,
)
_FIND = Statement(select(BARRIERS.c.state, BARRIERS.c.reply).where(_KEY), _Branch, _BarrierRow)
_STORE = Statement(
    update(BARRIERS).where(_KEY).values(state=bindparam("state"), reply=bindparam("reply")),
    _BranchReply,
    NoRow,
)
_CANCEL = Statement(
    insert(BARRIERS)
    .values(saga_id=bindparam("saga_id"), branch=bindparam("branch"), state="CANCELLED")
    .on_conflict_do_update(
        constraint="pk_saga_barriers", set_={"state": "CANCELLED", "reply": literal_column("NULL")}
    ),
    _Branch,
    NoRow,
)


async def once(
    tx: Transaction,
    *,
    saga_id: UUID,
    branch: str,
    not_after: datetime | None,
    work: Callable[[], Awaitable[T]],
    codec: TypeAdapter[T],
) -> T:
    """Do a branch of a saga once; a repeat gets the reply of the first time.

    The transaction must be READ COMMITTED: a repeat that runs at the same time waits here for
    the first one to end, and must see then what that one wrote.

    Args:
        tx: The transaction that makes the branch's own change, too.
        saga_id: The saga.
        branch: The name of the branch.
        not_after: When a branch that was not seen before comes too late.
        work: Makes the change and returns the reply; an error that it raises rolls everything
            back, the barrier too.
        codec: Turns the reply into JSON and back.

    Raises:
        SagaCancelled: The branch was cancelled before, or came too late.
        RecordedError: The branch was rejected before (see `reject`).
    """
    claimed = await tx.first(_CLAIM, _BranchClaim(saga_id, branch, not_after))
    if claimed is None:
        reply = await _stored(tx, saga_id, branch)
        return read_stored(codec, reply, "the reply of a branch")
    if claimed.is_late:
        raise too_late(claimed.time)
    reply = await work()
    await _store(tx, saga_id, branch, "DONE", codec.dump_python(reply, mode="json"))
    return reply


def too_late(time: datetime) -> SagaCancelled:
    """Return the refusal of a branch that came too late.

    Args:
        time: The time by the clock of this database. The coordinator looks whether it is far
            from its own.
    """
    return SagaCancelled("The time of this saga is over.", metadata={TIME: time.isoformat()})


async def reject(tx: Transaction, *, saga_id: UUID, branch: str, error: DomainError) -> None:
    """Keep a refusal, so that a repeat that comes later is refused as well.

    Changes nothing when the branch was done, rejected or cancelled before.
    """
    if await tx.first(_CLAIM, _BranchClaim(saga_id, branch, None)) is not None:
        await _store(tx, saga_id, branch, "REJECTED", error.record().to_json())


async def cancel(tx: Transaction, *, saga_id: UUID, branch: str) -> None:
    """Leave a tombstone.

    The caller undoes the branch's change next, in a statement of its own: a create
    that this one waited for is visible only to a statement that begins afterwards.
    """
    await tx.execute(_CANCEL, _Branch(saga_id, branch))


async def _stored(tx: Transaction, saga_id: UUID, branch: str) -> object:
    row = await tx.first(_FIND, _Branch(saga_id, branch))
    if row is None or row.state == "CANCELLED":
        raise SagaCancelled
    if row.state == "REJECTED":
        raise RecordedError(ErrorRecord.from_json(row.reply))
    return row.reply


async def _store(tx: Transaction, saga_id: UUID, branch: str, state: str, reply: object) -> None:
    await tx.execute(_STORE, _BranchReply(saga_id, branch, state, Jsonb(reply)))
