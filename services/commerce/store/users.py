"""What is remembered of users that were forgotten, and what has to be forgotten of them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import (
    Text,
    Uuid,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.commerce.model import FORGOTTEN_USERS, IDEMPOTENCY, SAGAS
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, Limit, NoRow, Statement
from services.kernel.errors import SessionEnded


@dataclass(frozen=True, slots=True)
class ForgottenUser:
    """A user who was forgotten."""

    user_id: UUID


_USER = bindparam("user_id", type_=Uuid)

_IS_FORGOTTEN = Statement(
    select(FORGOTTEN_USERS.c.user_id).where(FORGOTTEN_USERS.c.user_id == _USER),
    ByUser,
    ForgottenUser,
)
_INSERT_TOMBSTONE = Statement(
    insert(FORGOTTEN_USERS).values(user_id=_USER).on_conflict_do_nothing(), ByUser, NoRow
)
_DELETE_KEYS = Statement(
    delete(IDEMPOTENCY).where(IDEMPOTENCY.c.scope == func.concat("user:", cast(_USER, Text))),
    ByUser,
    NoRow,
)
# The sagas stay, without a word about the user, so that participants that ask for
# an outcome still get one.
_CLEAN_SAGAS = Statement(
    update(SAGAS)
    .where(SAGAS.c.user_id == _USER)
    .values(
        user_id=null(),
        payload=literal_column("'{}'::jsonb"),
        result=literal_column("'{}'::jsonb"),
        last_error=null(),
    ),
    ByUser,
    NoRow,
)
# A refusal is kept after its transaction, and may so come after the forgetting.
_KEY = (IDEMPOTENCY.c.scope, IDEMPOTENCY.c.method, IDEMPOTENCY.c.key_hmac)
LATE_KEYS = Statement(
    delete(IDEMPOTENCY).where(
        tuple_(*_KEY).in_(
            select(*_KEY)
            .where(
                IDEMPOTENCY.c.scope == func.concat("user:", cast(FORGOTTEN_USERS.c.user_id, Text))
            )
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)
OLD_TOMBSTONES = Statement(
    delete(FORGOTTEN_USERS).where(
        FORGOTTEN_USERS.c.user_id.in_(
            select(FORGOTTEN_USERS.c.user_id)
            .where(
                FORGOTTEN_USERS.c.create_time
                < func.saga_now() - literal_column("interval '7 days'")
            )
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)


async def ensure_known(reader: Reader, user_id: UUID) -> None:
    """Refuse the writes of a user whose account was deleted.

    Raises:
        SessionEnded: It was: the token outlived it.
    """
    if await is_forgotten(reader, user_id):
        raise SessionEnded


async def is_forgotten(reader: Reader, user_id: UUID) -> bool:
    """Say whether the user's account was deleted."""
    return await reader.first(_IS_FORGOTTEN, ByUser(user_id)) is not None


async def forget(tx: Transaction, user_id: UUID) -> None:
    """Leave a tombstone, and remove the user from sagas, stored replies and keys.

    No saga of the user may be under way.
    """
    user = ByUser(user_id)
    await tx.execute(_INSERT_TOMBSTONE, user)
    await tx.execute(_DELETE_KEYS, user)
    await tx.execute(_CLEAN_SAGAS, user)
