"""The SQL of mailed codes."""

from __future__ import annotations

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
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import CODES, SESSIONS, CanonicalEmail, Purpose
from services.auth.store.users import ByEmail
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement
from services.kernel.db.tables import clock_once

TRIES_MAX = 5


@dataclass(frozen=True, slots=True)
class FlowOwner:
    """The user of a flow, with the credentials and the session that the flow ends with.

    Attributes:
        session_id: None when the flow does not depend on a session.
    """

    user_id: UUID
    credential_version: int
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Flow:
    """A flow: one mailed code and its purpose.

    Attributes:
        user_id: The user of the account; None when there is no account, or none yet.
        credential_version: The version of the user's credentials that the flow is good for.
        session_id: The session that the flow ends with; None when there is none.
        code_hmac: None when no code is right.
        payload: The JSON that the flow needs when the code comes back, as the row has it.
        saga_id: The saga that the code was spent on; None when there is none.
        is_spent: Whether the code was spent.
        is_over: Whether the time of the code is over; that of a spent one ends for its repeats.
        is_repeatable: Whether the code was spent a moment ago, so that it still answers repeats.
    """

    id: UUID
    purpose: Purpose
    email: CanonicalEmail
    user_id: UUID | None
    credential_version: int
    session_id: UUID | None
    code_hmac: bytes | None
    tries: int
    payload: object
    saga_id: UUID | None
    is_spent: bool
    is_over: bool
    is_repeatable: bool


@dataclass(frozen=True, slots=True)
class OpenFlows:
    """The number of open flows of an e-mail and purpose, and when the first of them ends."""

    here: int
    everywhere: int
    until: datetime | None
    until_here: datetime | None


@dataclass(frozen=True, slots=True)
class RenewedCode:
    """When the new code of a flow ends."""

    expire_time: datetime


@dataclass(frozen=True, slots=True)
class _ByFlow:
    flow_id: UUID


@dataclass(frozen=True, slots=True, repr=False)
class _NewFlow:
    flow_id: UUID
    purpose: Purpose
    email: CanonicalEmail
    user_id: UUID | None
    credential_version: int
    session_id: UUID | None
    place_hmac: bytes | None
    code_hmac: bytes | None
    payload: Jsonb | None
    life: timedelta


@dataclass(frozen=True, slots=True)
class _OfPlace:
    purpose: Purpose
    email: CanonicalEmail
    place_hmac: bytes


@dataclass(frozen=True, slots=True)
class _Spending:
    flow_id: UUID
    saga_id: UUID | None


@dataclass(frozen=True, slots=True)
class _OpenOfUser:
    user_id: UUID
    credential_version: int


@dataclass(frozen=True, slots=True, repr=False)
class _CodeRenewal:
    flow_id: UUID
    code_hmac: bytes
    life: timedelta


@dataclass(frozen=True, slots=True)
class _SpentOn:
    saga_id: UUID


@dataclass(frozen=True, slots=True)
class _Reinstatement:
    saga_id: UUID
    life: timedelta


@dataclass(frozen=True, slots=True)
class _OfUserOrEmail:
    user_id: UUID
    email: CanonicalEmail


REPEATABLE = "10 minutes"  # for a caller who has lost the answer

_BY_ID = CODES.c.id == bindparam("flow_id")
_SPENT_ON = CODES.c.saga_id == bindparam("saga_id")
_COLUMNS = (
    CODES.c.id,
    CODES.c.purpose,
    CODES.c.email,
    CODES.c.user_id,
    CODES.c.credential_version,
    CODES.c.session_id,
    CODES.c.code_hmac,
    CODES.c.tries,
    CODES.c.payload,
    CODES.c.saga_id,
    CODES.c.spend_time.is_not(None).label("is_spent"),
    or_(CODES.c.expire_time <= func.saga_now(), CODES.c.spend_time.is_not(None)).label("is_over"),
    func.coalesce(CODES.c.spend_time > clock_once(ago=REPEATABLE), false()).label("is_repeatable"),
)
_GET = Statement(select(*_COLUMNS).where(_BY_ID), _ByFlow, Flow)
_LOCK = Statement(select(*_COLUMNS).where(_BY_ID).with_for_update(), _ByFlow, Flow)
_INSERT = Statement(
    insert(CODES)
    .values(
        id=bindparam("flow_id"),
        purpose=bindparam("purpose"),
        email=bindparam("email"),
        user_id=bindparam("user_id"),
        credential_version=bindparam("credential_version"),
        session_id=bindparam("session_id"),
        place_hmac=bindparam("place_hmac"),
        code_hmac=bindparam("code_hmac"),
        payload=bindparam("payload"),
        expire_time=func.saga_now() + bindparam("life", type_=Interval),
    )
    .on_conflict_do_nothing(),
    _NewFlow,
    NoRow,
)
_WAITS = and_(
    CODES.c.spend_time.is_(None),
    CODES.c.expire_time > func.saga_now(),
    CODES.c.tries < TRIES_MAX,
)
_IS_OPEN = and_(
    CODES.c.email == bindparam("email"), CODES.c.purpose == bindparam("purpose"), _WAITS
)
_IS_HERE = CODES.c.place_hmac == bindparam("place_hmac")
_COUNT_OPEN = Statement(
    select(
        func.count().filter(_IS_HERE).label("here"),
        func.count().label("everywhere"),
        func.min(CODES.c.expire_time).label("until"),
        func.min(CODES.c.expire_time).filter(_IS_HERE).label("until_here"),
    ).where(_IS_OPEN),
    _OfPlace,
    OpenFlows,
)
_IS_MAILED = and_(_WAITS, CODES.c.code_hmac.is_not(None), CODES.c.purpose != Purpose.MFA)
_HAS_SESSION = (
    select(SESSIONS.c.id)
    .where(SESSIONS.c.id == CODES.c.session_id, SESSIONS.c.expire_time > func.saga_now())
    .correlate(CODES)
    .exists()
)
_NEWEST_OF_USER = Statement(
    select(*_COLUMNS)
    .where(
        CODES.c.user_id == bindparam("user_id"),
        CODES.c.credential_version == bindparam("credential_version"),
        or_(CODES.c.session_id.is_(None), _HAS_SESSION),
        _IS_MAILED,
    )
    .order_by(CODES.c.create_time.desc(), CODES.c.id.desc())
    .limit(literal_column("1")),
    _OpenOfUser,
    Flow,
)
_NEWEST_SIGN_UP = Statement(
    select(*_COLUMNS)
    .where(
        CODES.c.email == bindparam("email"),
        CODES.c.purpose == literal_column(f"'{Purpose.SIGNUP}'"),
        _IS_MAILED,
    )
    .order_by(CODES.c.create_time.desc(), CODES.c.id.desc())
    .limit(literal_column("1")),
    ByEmail,
    Flow,
)
_RENEW = Statement(
    update(CODES)
    .where(_BY_ID, _WAITS)
    .values(
        code_hmac=bindparam("code_hmac"),
        tries=literal_column("0"),
        expire_time=func.saga_now() + bindparam("life", type_=Interval),
    )
    .returning(CODES.c.expire_time),
    _CodeRenewal,
    RenewedCode,
)
_COUNT_TRY = Statement(update(CODES).where(_BY_ID).values(tries=CODES.c.tries + 1), _ByFlow, NoRow)
_SPEND = Statement(
    update(CODES)
    .where(_BY_ID, CODES.c.spend_time.is_(None))
    .values(spend_time=func.saga_now(), saga_id=bindparam("saga_id")),
    _Spending,
    NoRow,
)
_REINSTATE = Statement(
    update(CODES)
    .where(_SPENT_ON)
    .values(
        spend_time=literal_column("NULL"),
        saga_id=literal_column("NULL"),
        expire_time=func.greatest(
            CODES.c.expire_time, func.saga_now() + bindparam("life", type_=Interval)
        ),
    ),
    _Reinstatement,
    NoRow,
)
_CLEAR = Statement(
    update(CODES).where(_SPENT_ON).values(payload=literal_column("NULL")), _SpentOn, NoRow
)
_END_OF_USER = Statement(
    delete(CODES).where(CODES.c.user_id == bindparam("user_id"), CODES.c.spend_time.is_(None)),
    ByUser,
    NoRow,
)
_FORGET = Statement(
    delete(CODES).where(
        (CODES.c.email == bindparam("email")) | (CODES.c.user_id == bindparam("user_id"))
    ),
    _OfUserOrEmail,
    NoRow,
)
# Such a sign-up needs its row until its saga has ended: it may get its code back.
_UNDECIDED = and_(CODES.c.saga_id.is_not(None), CODES.c.payload.is_not(None))
OLD = old_rows("codes", CODES, CODES.c.expire_time, age="1 day", only=not_(_UNDECIDED))


async def get(reader: Reader, flow_id: UUID) -> Flow | None:
    """Return a flow, or None."""
    return await reader.first(_GET, _ByFlow(flow_id))


async def lock(tx: Transaction, flow_id: UUID) -> Flow | None:
    """Lock a flow until the transaction ends, and return it, or None."""
    return await tx.first(_LOCK, _ByFlow(flow_id))


async def insert_flow(
    tx: Transaction,
    *,
    flow_id: UUID,
    purpose: Purpose,
    email: CanonicalEmail,
    owner: FlowOwner | None,
    place_hmac: bytes | None,
    code_hmac: bytes | None,
    payload: dict[str, Any] | None,
    life: timedelta,
) -> None:
    """Insert a flow; nothing when there is one with this id."""
    new = _NewFlow(
        flow_id=flow_id,
        purpose=purpose,
        email=email,
        user_id=None if owner is None else owner.user_id,
        credential_version=0 if owner is None else owner.credential_version,
        session_id=None if owner is None else owner.session_id,
        place_hmac=place_hmac,
        code_hmac=code_hmac,
        payload=None if payload is None else Jsonb(payload),
        life=life,
    )
    await tx.execute(_INSERT, new)


async def count_open(
    tx: Transaction, *, purpose: Purpose, email: CanonicalEmail, place_hmac: bytes
) -> OpenFlows:
    """Count the flows of an e-mail and purpose whose code may still come."""
    row = await tx.first(_COUNT_OPEN, _OfPlace(purpose, email, place_hmac))
    assert row is not None
    return row


async def newest_of_user(tx: Transaction, user_id: UUID, *, credential_version: int) -> Flow | None:
    """Return the newest flow of a user whose mailed code may still come, or None."""
    return await tx.first(_NEWEST_OF_USER, _OpenOfUser(user_id, credential_version))


async def newest_sign_up(tx: Transaction, email: CanonicalEmail) -> Flow | None:
    """Return the newest sign-up of an e-mail whose code may still come, or None."""
    return await tx.first(_NEWEST_SIGN_UP, ByEmail(email))


async def renew(
    tx: Transaction, flow_id: UUID, *, code_hmac: bytes, life: timedelta
) -> datetime | None:
    """Give an open flow another code, and return when that ends; None: it is open no more."""
    row = await tx.first(_RENEW, _CodeRenewal(flow_id, code_hmac, life))
    return None if row is None else row.expire_time


async def count_try(tx: Transaction, flow_id: UUID) -> None:
    """Count a wrong code."""
    await tx.execute(_COUNT_TRY, _ByFlow(flow_id))


async def spend(tx: Transaction, flow_id: UUID, *, saga_id: UUID | None) -> bool:
    """Spend a code; False when it was spent before, or is gone."""
    return await tx.execute(_SPEND, _Spending(flow_id=flow_id, saga_id=saga_id)) == 1


async def reinstate(tx: Transaction, saga_id: UUID, *, life: timedelta) -> None:
    """Make the code that was spent on a saga good again, for at least this long."""
    await tx.execute(_REINSTATE, _Reinstatement(saga_id=saga_id, life=life))


async def clear_payload(tx: Transaction, saga_id: UUID) -> None:
    """Remove the payload of the flow whose code was spent on a saga."""
    await tx.execute(_CLEAR, _SpentOn(saga_id))


async def end_of_user(tx: Transaction, user_id: UUID) -> None:
    """End the flows of a user. Spent ones stay: they only answer repeats."""
    await tx.execute(_END_OF_USER, ByUser(user_id))


async def forget(tx: Transaction, *, user_id: UUID, email: CanonicalEmail) -> None:
    """Remove all flows of a user and of an e-mail."""
    await tx.execute(_FORGET, _OfUserOrEmail(user_id=user_id, email=email))
