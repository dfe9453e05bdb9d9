"""The SQL of what becomes of accounts: their status, address, role and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from sqlalchemy import (
    ARRAY,
    Text,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    tuple_,
    update,
)

from services.auth.errors import EmailTaken
from services.auth.model import IDEMPOTENCY, ROLES, SAGAS, USERS, Email, Status, User
from services.auth.store.users import user_of
from services.common.vocabulary import Role
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.untyped import Untyped


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What a profile's status follows from.

    Attributes:
        version: Grows with every change.
    """

    status: Status
    is_verified: bool
    version: int

    @property
    def profile_status(self) -> str:
        """The status that the profile has to have."""
        if self.status is Status.DISABLED:
            return "suspended"
        return "active" if self.is_verified else "pending"


_BY_ID = USERS.c.id == bindparam("user_id")
_VISIBLE = (
    USERS.c.id,
    USERS.c.email_as_typed,
    USERS.c.full_name,
    ROLES.c.name.label("role"),
    USERS.c.status,
    USERS.c.email_verify_time.is_not(None).label("email_verified"),
    USERS.c.create_time,
)
_VERSIONED = {"status_version": USERS.c.status_version + 1, "update_time": func.saga_now()}
_STANDING = Untyped(
    select(
        USERS.c.status,
        USERS.c.email_verify_time.is_not(None).label("is_verified"),
        USERS.c.status_version,
    ).where(_BY_ID)
)
_LOCK = Untyped(
    select(*_VISIBLE)
    .select_from(USERS.join(ROLES))
    .where(_BY_ID, USERS.c.status != "PENDING")
    .with_for_update(of=USERS)
)
_LIST = Untyped(
    select(*_VISIBLE)
    .select_from(USERS.join(ROLES))
    .where(
        USERS.c.status != "PENDING",
        tuple_(USERS.c.create_time, USERS.c.id)
        < tuple_(
            bindparam("before_time", type_=USERS.c.create_time.type),
            bindparam("before_id", type_=USERS.c.id.type),
        ),
    )
    .order_by(USERS.c.create_time.desc(), USERS.c.id.desc())
    .limit(bindparam("limit"))
)
_VERIFY = Untyped(
    update(USERS)
    .where(_BY_ID)
    .values(
        email_verify_time=func.coalesce(USERS.c.email_verify_time, func.saga_now()), **_VERSIONED
    )
)
_CHANGE_EMAIL = Untyped(
    update(USERS)
    .where(_BY_ID)
    .values(email=bindparam("email"), email_as_typed=bindparam("email_as_typed"))
)
_SET_PASSWORD = Untyped(
    update(USERS)
    .where(_BY_ID)
    .values(password_hash=bindparam("password_hash"), update_time=func.saga_now())
)
_SET_STATUS = Untyped(update(USERS).where(_BY_ID).values(status=bindparam("status"), **_VERSIONED))
_SET_ROLE = Untyped(
    update(USERS)
    .where(_BY_ID)
    .values(
        role_id=select(ROLES.c.id).where(ROLES.c.name == bindparam("role")).scalar_subquery(),
        update_time=func.saga_now(),
    )
)
# One lock for all that could leave no administrator; registrations, which only refer to
# the role's row, don't wait for it.
_LOCK_ADMINS = Untyped(
    select(ROLES.c.id).where(ROLES.c.name == "admin").with_for_update(key_share=True)
)
_OTHER_ADMINS = Untyped(
    select(func.count().label("number"))
    .select_from(USERS.join(ROLES))
    .where(ROLES.c.name == "admin", USERS.c.status == "ACTIVE", USERS.c.id != bindparam("user_id"))
)
_ADMINS = Untyped(
    select(*_VISIBLE)
    .select_from(USERS.join(ROLES))
    .where(ROLES.c.name == "admin", USERS.c.status != "PENDING")
    .order_by(USERS.c.create_time)
)
_DELETE = Untyped(
    delete(USERS).where(_BY_ID, USERS.c.status == "DELETING").returning(USERS.c.email)
)
_RUNNING_SAGA = Untyped(
    select(SAGAS.c.id).where(
        SAGAS.c.user_id == bindparam("user_id"),
        SAGAS.c.kind == bindparam("kind"),
        literal_column("state IN ('RUNNING', 'COMPENSATING')"),
    )
)
_FORGET_KEYS = Untyped(
    delete(IDEMPOTENCY).where(
        (IDEMPOTENCY.c.scope == bindparam("scope"))
        | IDEMPOTENCY.c.saga_id.in_(
            select(SAGAS.c.id).where(SAGAS.c.user_id == bindparam("user_id"))
        )
    )
)
_FORGET_SAGAS = Untyped(
    update(SAGAS)
    .where(
        SAGAS.c.user_id == bindparam("user_id"),
        SAGAS.c.kind == func.any(bindparam("kinds", type_=ARRAY(Text))),
    )
    .values(payload=literal_column("'{}'::jsonb"), result=literal_column("NULL"))
)


async def standing(reader: Reader, user_id: UUID) -> AccountStatus | None:
    """Return what a profile's status follows from, or None when there is no user."""
    row = await reader.first(_STANDING, user_id=user_id)
    if row is None:
        return None
    return AccountStatus(
        status=Status(row.status), is_verified=row.is_verified, version=row.status_version
    )


async def lock(tx: Transaction, user_id: UUID) -> User | None:
    """Return a user who stays as is until the transaction ends, or None."""
    row = await tx.first(_LOCK, user_id=user_id)
    return None if row is None else user_of(row)


async def list_users(reader: Reader, *, before: tuple[datetime, UUID], limit: int) -> list[User]:
    """Return users, newest first, older than `before`; PENDING ones are nobody."""
    rows = await reader.all(_LIST, before_time=before[0], before_id=before[1], limit=limit)
    return [user_of(row) for row in rows]


async def verify_email(tx: Transaction, user_id: UUID) -> None:
    """Note that a user's address is confirmed."""
    await tx.execute(_VERIFY, user_id=user_id)


async def change_email(tx: Transaction, user_id: UUID, email: Email) -> None:
    """Give a user another address.

    Raises:
        EmailTaken: Somebody has it; the transaction is lost.
    """
    try:
        await tx.execute(
            _CHANGE_EMAIL, user_id=user_id, email=email.canonical, email_as_typed=email.typed
        )
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != "uq_users_email":
            raise
        raise EmailTaken from error


async def set_password(tx: Transaction, user_id: UUID, password_hash: str) -> None:
    """Give a user another password."""
    await tx.execute(_SET_PASSWORD, user_id=user_id, password_hash=password_hash)


async def set_status(tx: Transaction, user_id: UUID, status: Status) -> None:
    """Give a user another status."""
    await tx.execute(_SET_STATUS, user_id=user_id, status=status)


async def set_role(tx: Transaction, user_id: UUID, role: Role) -> None:
    """Give a user another role, which has to exist."""
    await tx.execute(_SET_ROLE, user_id=user_id, role=role)


async def lock_administrators(tx: Transaction) -> None:
    """Let nobody else take an administrator away until the transaction ends.

    Comes before any lock on a user.
    """
    await tx.execute(_LOCK_ADMINS)


async def count_other_administrators(tx: Transaction, user_id: UUID) -> int:
    """Return how many ACTIVE administrators there are beside a user."""
    row = await tx.first(_OTHER_ADMINS, user_id=user_id)
    assert row is not None
    return int(row.number)


async def list_administrators(reader: Reader) -> Sequence[User]:
    """Return all administrators, the oldest account first."""
    return [user_of(row) for row in await reader.all(_ADMINS)]


async def running_saga(reader: Reader, user_id: UUID, *, kind: str) -> UUID | None:
    """Return the saga of a kind that is under way about a user, or None."""
    row = await reader.first(_RUNNING_SAGA, user_id=user_id, kind=kind)
    return None if row is None else row.id


async def delete_user(tx: Transaction, user_id: UUID) -> str | None:
    """Delete a user who is DELETING, with sessions and codes, and return the address."""
    row = await tx.first(_DELETE, user_id=user_id)
    return None if row is None else str(row.email)


async def forget_requests(tx: Transaction, user_id: UUID, *, kinds: Sequence[str]) -> None:
    """Remove what requests have left: idempotency keys, and what is personal in sagas."""
    await tx.execute(_FORGET_KEYS, user_id=user_id, scope=f"user:{user_id}")
    await tx.execute(_FORGET_SAGAS, user_id=user_id, kinds=list(kinds))
