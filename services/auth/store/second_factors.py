"""The SQL of second factors."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import RECOVERY_CODES, TOTPS
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement


@dataclass(frozen=True, slots=True, repr=False)
class TotpRow:
    """The seed of a user's app.

    Attributes:
        sealed: The seed, encrypted.
        last_step: The step of the last code that counted; 0 before the first.
        is_confirmed: Whether a first code has shown that the app has the seed.
    """

    sealed: bytes
    last_step: int
    is_confirmed: bool


@dataclass(frozen=True, slots=True, repr=False)
class _Seed:
    user_id: UUID
    sealed: bytes


@dataclass(frozen=True, slots=True)
class _Step:
    user_id: UUID
    step: int


@dataclass(frozen=True, slots=True, repr=False)
class _Advance:
    user_id: UUID
    step: int
    sealed: bytes


@dataclass(frozen=True, slots=True, repr=False)
class _RecoveryCode:
    user_id: UUID
    code_hash: bytes


@dataclass(frozen=True, slots=True)
class _Left:
    number: int


_OF_USER = TOTPS.c.user_id == bindparam("user_id")
_CODES_OF_USER = RECOVERY_CODES.c.user_id == bindparam("user_id")
_GET = Statement(
    select(
        TOTPS.c.sealed, TOTPS.c.last_step, TOTPS.c.confirm_time.is_not(None).label("is_confirmed")
    ).where(_OF_USER),
    ByUser,
    TotpRow,
)
_INSERTED = insert(TOTPS).values(user_id=bindparam("user_id"), sealed=bindparam("sealed"))
_PUT = Statement(
    _INSERTED.on_conflict_do_update(
        index_elements=[TOTPS.c.user_id],
        set_={"sealed": _INSERTED.excluded.sealed, "create_time": func.saga_now()},
        where=TOTPS.c.confirm_time.is_(None),
    ),
    _Seed,
    NoRow,
)
_CONFIRM = Statement(
    update(TOTPS).where(_OF_USER).values(confirm_time=func.saga_now(), last_step=bindparam("step")),
    _Step,
    NoRow,
)
_ADVANCE = Statement(
    update(TOTPS).where(_OF_USER).values(last_step=bindparam("step"), sealed=bindparam("sealed")),
    _Advance,
    NoRow,
)
_REMOVE = Statement(delete(TOTPS).where(_OF_USER, TOTPS.c.confirm_time.is_not(None)), ByUser, NoRow)
_FORGET_UNCONFIRMED = Statement(
    delete(TOTPS).where(_OF_USER, TOTPS.c.confirm_time.is_(None)), ByUser, NoRow
)
_ADD_CODE = Statement(
    insert(RECOVERY_CODES).values(user_id=bindparam("user_id"), code_hash=bindparam("code_hash")),
    _RecoveryCode,
    NoRow,
)
_TAKE_CODE = Statement(
    delete(RECOVERY_CODES).where(
        _CODES_OF_USER, RECOVERY_CODES.c.code_hash == bindparam("code_hash")
    ),
    _RecoveryCode,
    NoRow,
)
_REMOVE_CODES = Statement(delete(RECOVERY_CODES).where(_CODES_OF_USER), ByUser, NoRow)
_COUNT_CODES = Statement(
    select(func.count(literal_column("*")).label("number"))
    .select_from(RECOVERY_CODES)
    .where(_CODES_OF_USER),
    ByUser,
    _Left,
)


async def get(reader: Reader, user_id: UUID) -> TotpRow | None:
    """Return the seed of a user, confirmed or not; None when there is none."""
    return await reader.first(_GET, ByUser(user_id))


async def put_unconfirmed(tx: Transaction, user_id: UUID, sealed: bytes) -> None:
    """Insert a seed in the place of an unconfirmed one; a confirmed one stays."""
    await tx.execute(_PUT, _Seed(user_id, sealed))


async def confirm(tx: Transaction, user_id: UUID, *, step: int) -> None:
    """Mark a seed as confirmed by the code of a step."""
    await tx.execute(_CONFIRM, _Step(user_id, step))


async def advance(tx: Transaction, user_id: UUID, *, step: int, sealed: bytes) -> None:
    """Keep the step of the code that counted last; the transaction must have locked the user."""
    await tx.execute(_ADVANCE, _Advance(user_id, step, sealed))


async def add_recovery_code(tx: Transaction, user_id: UUID, code_hash: bytes) -> None:
    """Add a recovery code."""
    await tx.execute(_ADD_CODE, _RecoveryCode(user_id, code_hash))


async def take_recovery_code(tx: Transaction, user_id: UUID, code_hash: bytes) -> bool:
    """Remove a recovery code; False when there is no such code."""
    return await tx.execute(_TAKE_CODE, _RecoveryCode(user_id, code_hash)) == 1


async def count_recovery_codes(reader: Reader, user_id: UUID) -> int:
    """Return how many recovery codes are left."""
    row = await reader.first(_COUNT_CODES, ByUser(user_id))
    assert row is not None
    return row.number


async def remove(tx: Transaction, user_id: UUID) -> bool:
    """Remove the second factor of a user; False when there was none."""
    await tx.execute(_REMOVE_CODES, ByUser(user_id))
    return await tx.execute(_REMOVE, ByUser(user_id)) == 1


async def forget_unconfirmed(tx: Transaction, user_id: UUID) -> None:
    """Remove a seed that was never confirmed."""
    await tx.execute(_FORGET_UNCONFIRMED, ByUser(user_id))
