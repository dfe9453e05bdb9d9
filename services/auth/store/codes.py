"""The SQL of mailed codes and of their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import (
    Interval,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    not_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import CODE_LIMITS, CODES
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import Limit, NoRow, Statement
from services.kernel.db.untyped import Row, Untyped


@dataclass(frozen=True, slots=True, repr=False)
class Flow:
    """A flow that waits for its code, or had it.

    Attributes:
        email: The canonical address that the code was mailed to.
        user_id: Whose it is; None when there is no account, or none yet.
        code_hmac: None when no code is the right one.
        saga_id: What the code was spent on; None before.
        is_spent: Whether it was spent.
        is_over: Whether its time is over.
    """

    id: UUID
    purpose: str
    email: str
    user_id: UUID | None
    code_hmac: bytes | None
    tries: int
    payload: dict[str, Any] | None
    saga_id: UUID | None
    is_spent: bool
    is_over: bool


@dataclass(frozen=True, slots=True)
class CodeLimits:
    """What happened lately with the codes of an address and purpose."""

    now: datetime
    sends: Sequence[datetime]
    failures: Sequence[datetime]


_BY_ID = CODES.c.id == bindparam("flow_id")
_SPENT_ON = CODES.c.saga_id == bindparam("saga_id")
_COLUMNS = (
    *CODES.c,
    CODES.c.spend_time.is_not(None).label("is_spent"),
    (CODES.c.expire_time <= func.saga_now()).label("is_over"),
)
_GET = Untyped(select(*_COLUMNS).where(_BY_ID))
_LOCK = Untyped(select(*_COLUMNS).where(_BY_ID).with_for_update())
_INSERT = Untyped(
    insert(CODES)
    .values(
        id=bindparam("flow_id"),
        purpose=bindparam("purpose"),
        email=bindparam("email"),
        user_id=bindparam("user_id"),
        code_hmac=bindparam("code_hmac"),
        payload=bindparam("payload"),
        expire_time=func.saga_now() + bindparam("life", type_=Interval),
    )
    .on_conflict_do_nothing()
    .returning(CODES.c.id)
)
_REPLACE = Untyped(
    delete(CODES).where(
        CODES.c.email == bindparam("email"),
        CODES.c.purpose == bindparam("purpose"),
        CODES.c.spend_time.is_(None),
    )
)
_COUNT_TRY = Untyped(update(CODES).where(_BY_ID).values(tries=CODES.c.tries + 1))
_SPEND = Untyped(
    update(CODES)
    .where(_BY_ID, CODES.c.spend_time.is_(None))
    .values(spend_time=func.saga_now(), saga_id=bindparam("saga_id"))
)
_REARM = Untyped(
    update(CODES)
    .where(_SPENT_ON)
    .values(
        spend_time=literal_column("NULL"),
        saga_id=literal_column("NULL"),
        expire_time=func.greatest(
            CODES.c.expire_time, func.saga_now() + bindparam("life", type_=Interval)
        ),
    )
)
_CLEAR = Untyped(update(CODES).where(_SPENT_ON).values(payload=literal_column("NULL")))
_FORGET = Untyped(
    delete(CODES).where(
        (CODES.c.email == bindparam("email")) | (CODES.c.user_id == bindparam("user_id"))
    )
)
_LOCK_LIMITS = Untyped(
    insert(CODE_LIMITS)
    .values(
        key_hmac=bindparam("key_hmac"),
        send_times=text("'{}'"),
        failure_times=text("'{}'"),
    )
    .on_conflict_do_update(constraint="pk_code_limits", set_={"update_time": func.saga_now()})
    .returning(CODE_LIMITS.c.send_times, CODE_LIMITS.c.failure_times, func.saga_now().label("now"))
)
_STORE_LIMITS = Untyped(
    update(CODE_LIMITS)
    .where(CODE_LIMITS.c.key_hmac == bindparam("key_hmac"))
    .values(send_times=bindparam("send_times"), failure_times=bindparam("failure_times"))
)
# A sign-up whose registration is still being undone gets its code back when it is.
_UNDECIDED = and_(CODES.c.saga_id.is_not(None), CODES.c.payload.is_not(None))
OLD = Statement(
    delete(CODES).where(
        CODES.c.id.in_(
            select(CODES.c.id)
            .where(
                CODES.c.expire_time < func.saga_now() - literal_column("interval '1 day'"),
                not_(_UNDECIDED),
            )
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)
OLD_LIMITS = Statement(
    delete(CODE_LIMITS).where(
        CODE_LIMITS.c.key_hmac.in_(
            select(CODE_LIMITS.c.key_hmac)
            .where(
                CODE_LIMITS.c.update_time < func.saga_now() - literal_column("interval '2 days'")
            )
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)


async def get(reader: Reader, flow_id: UUID) -> Flow | None:
    """Return a flow, or None."""
    return _flow(await reader.first(_GET, flow_id=flow_id))


async def lock(tx: Transaction, flow_id: UUID) -> Flow | None:
    """Return a flow whose row stays as it is until the transaction ends, or None."""
    return _flow(await tx.first(_LOCK, flow_id=flow_id))


async def insert_flow(
    tx: Transaction,
    *,
    flow_id: UUID,
    purpose: str,
    email: str,
    user_id: UUID | None,
    code_hmac: bytes | None,
    payload: dict[str, Any] | None,
    life: timedelta,
) -> bool:
    """Begin a flow; False when it has begun already."""
    row = await tx.first(
        _INSERT,
        flow_id=flow_id,
        purpose=purpose,
        email=email,
        user_id=user_id,
        code_hmac=code_hmac,
        payload=None if payload is None else Jsonb(payload),
        life=life,
    )
    return row is not None


async def remove_unspent(tx: Transaction, *, purpose: str, email: str) -> None:
    """Remove the codes of an address and purpose that still wait."""
    await tx.execute(_REPLACE, purpose=purpose, email=email)


async def count_try(tx: Transaction, flow_id: UUID) -> None:
    """Count a wrong code."""
    await tx.execute(_COUNT_TRY, flow_id=flow_id)


async def spend(tx: Transaction, flow_id: UUID, *, saga_id: UUID | None) -> bool:
    """Spend a code; False when it was spent already, or has gone."""
    return await tx.execute(_SPEND, flow_id=flow_id, saga_id=saga_id) == 1


async def reinstate(tx: Transaction, saga_id: UUID, *, life: timedelta) -> None:
    """Make the code that was spent on a saga good again, for so long at least."""
    await tx.execute(_REARM, saga_id=saga_id, life=life)


async def clear_payload(tx: Transaction, saga_id: UUID) -> None:
    """Forget what the flow of a saga that succeeded was for."""
    await tx.execute(_CLEAR, saga_id=saga_id)


async def forget(tx: Transaction, *, user_id: UUID, email: str) -> None:
    """Remove every flow of a user and of an address."""
    await tx.execute(_FORGET, user_id=user_id, email=email)


async def lock_limits(tx: Transaction, key_hmac: bytes) -> CodeLimits:
    """Return what happened lately; it stays so until the transaction ends."""
    row = await tx.first(_LOCK_LIMITS, key_hmac=key_hmac)
    assert row is not None
    return CodeLimits(now=row.now, sends=row.send_times, failures=row.failure_times)


async def store_limits(
    tx: Transaction, key_hmac: bytes, *, sends: Sequence[datetime], failures: Sequence[datetime]
) -> None:
    """Keep what happened lately."""
    await tx.execute(
        _STORE_LIMITS, key_hmac=key_hmac, send_times=list(sends), failure_times=list(failures)
    )


def _flow(row: Row | None) -> Flow | None:
    if row is None:
        return None
    return Flow(
        id=row.id,
        purpose=row.purpose,
        email=row.email,
        user_id=row.user_id,
        code_hmac=None if row.code_hmac is None else bytes(row.code_hmac),
        tries=row.tries,
        payload=row.payload,
        saga_id=row.saga_id,
        is_spent=row.is_spent,
        is_over=row.is_over,
    )
