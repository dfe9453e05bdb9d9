"""The users whose things are here, and the memory of those who were forgotten.

A transaction that writes something of a user locks the user's row first. So it comes before
the user is forgotten, or finds the tombstone. All transactions lock in one order, and so
none waits for another that waits for it: the user, the idempotency key, the order, the
products by id, and last of all the saga. The cart needs no lock beside that of its user.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, cast, delete, select
from sqlalchemy.dialects.postgresql import insert

from services.commerce.model import FORGOTTEN_USERS, IDEMPOTENCY, REPLY_USER_ID, SAGAS, USERS
from services.common.forgetting import Forgetting
from services.kernel.db.database import Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement
from services.kernel.errors import SessionEnded

_ABOUT = cast(bindparam("user_id", type_=Uuid), Text) == REPLY_USER_ID
FORGETTING = Forgetting(IDEMPOTENCY, about=_ABOUT, sagas=SAGAS, tombstones=FORGOTTEN_USERS)


@dataclass(frozen=True, slots=True)
class LockedUser:
    """A user whose row is locked."""

    user_id: UUID


_USER = bindparam("user_id", type_=Uuid)
_BY_ID = USERS.c.user_id == _USER

_LOCK = Statement(
    select(USERS.c.user_id).where(_BY_ID).with_for_update(key_share=True), ByUser, LockedUser
)
_MAKE = Statement(
    insert(USERS)
    .values(user_id=_USER)
    .on_conflict_do_update(constraint="pk_users", set_={"user_id": _USER}),
    ByUser,
    NoRow,
)
_DELETE = Statement(delete(USERS).where(_BY_ID), ByUser, NoRow)


async def lock(tx: Transaction, user_id: UUID | None) -> None:
    """Lock a user until the transaction ends, before it writes something of that user.

    Without a user, because a service acts, there is nothing to lock.

    Raises:
        SessionEnded: The account was deleted, and the token outlived it.
    """
    if user_id is None:
        return
    # A forgotten user has no row, so only a new row needs the look for a tombstone. It is a
    # statement of its own: the one before may have waited for the forgetting.
    if not await lock_any(tx, user_id) and await FORGETTING.is_forgotten(tx, user_id):
        raise SessionEnded


async def lock_any(tx: Transaction, user_id: UUID) -> bool:
    """Lock a user, even a forgotten one; return False when the row is a new one."""
    if await lock_known(tx, user_id):
        return True
    await tx.execute(_MAKE, ByUser(user_id))
    return False


async def lock_known(tx: Transaction, user_id: UUID) -> bool:
    """Lock a user for a saga that has begun; return False when there is no row.

    A saga that was overtaken may come when its user was forgotten: it changes nothing then.
    """
    return await tx.first(_LOCK, ByUser(user_id)) is not None


async def remove(tx: Transaction, user_id: UUID) -> None:
    """Remove the row of a forgotten user, who is locked."""
    await tx.execute(_DELETE, ByUser(user_id))
