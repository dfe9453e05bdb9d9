"""The SQL of users and roles."""

from __future__ import annotations

from uuid import UUID

import psycopg
from sqlalchemy import bindparam, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.errors import EmailTaken
from services.auth.model import ROLES, USERS, Email, Status, User
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.untyped import Row, Untyped
from services.kernel.ids import new_id

_ADD_ROLE = Untyped(
    insert(ROLES).values(id=bindparam("role_id"), name=bindparam("role")).on_conflict_do_nothing()
)
_ROLE_EXISTS = Untyped(select(ROLES.c.id).where(ROLES.c.name == bindparam("role")))
_INSERT = Untyped(
    insert(USERS).values(
        id=bindparam("user_id"),
        email=bindparam("email"),
        email_as_typed=bindparam("email_as_typed"),
        password_hash=bindparam("password_hash"),
        full_name=bindparam("full_name"),
        role_id=select(ROLES.c.id).where(ROLES.c.name == bindparam("role")).scalar_subquery(),
        status="PENDING",
        saga_id=bindparam("saga_id"),
    )
)
_STATUS_BY_EMAIL = Untyped(select(USERS.c.status).where(USERS.c.email == bindparam("email")))
_ACTIVATE = Untyped(
    update(USERS)
    .where(USERS.c.id == bindparam("user_id"), USERS.c.saga_id == bindparam("saga_id"))
    .values(
        status=case((USERS.c.status == "PENDING", "ACTIVE"), else_=USERS.c.status),
        email_verify_time=case(
            (bindparam("is_verified"), func.coalesce(USERS.c.email_verify_time, func.saga_now())),
            else_=USERS.c.email_verify_time,
        ),
        update_time=func.saga_now(),
    )
    .returning(USERS.c.create_time)
)
_DELETE_PENDING = Untyped(
    delete(USERS).where(USERS.c.id == bindparam("user_id"), USERS.c.status == "PENDING")
)
_VISIBLE = (
    USERS.c.id,
    USERS.c.email_as_typed,
    USERS.c.full_name,
    ROLES.c.name.label("role"),
    USERS.c.status,
    USERS.c.email_verify_time.is_not(None).label("email_verified"),
    USERS.c.create_time,
)
_GET = Untyped(
    select(*_VISIBLE)
    .join(ROLES)
    .where(USERS.c.id == bindparam("user_id"), USERS.c.status != "PENDING")
)


async def role_exists(reader: Reader, role: str) -> bool:
    """Say whether a role has a row."""
    return await reader.first(_ROLE_EXISTS, role=role) is not None


async def ensure_role(tx: Transaction, role: str) -> None:
    """Make a role's row unless there is one."""
    await tx.execute(_ADD_ROLE, role_id=new_id(), role=role)


async def insert_pending(
    tx: Transaction,
    *,
    user_id: UUID,
    saga_id: UUID,
    email: Email,
    password_hash: str,
    full_name: str,
    role: str,
) -> None:
    """Insert a user whose registration has begun; the role has to exist.

    Raises:
        EmailTaken: A user has this address, perhaps one that is still PENDING; the
            transaction is lost.
    """
    try:
        await tx.execute(
            _INSERT,
            user_id=user_id,
            saga_id=saga_id,
            email=email.canonical,
            email_as_typed=email.typed,
            password_hash=password_hash,
            full_name=full_name,
            role=role,
        )
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != "uq_users_email":
            raise
        raise EmailTaken from error


async def status_of_email(reader: Reader, canonical: str) -> Status | None:
    """Return the status of the user with this address, or None."""
    row = await reader.first(_STATUS_BY_EMAIL, email=canonical)
    return None if row is None else Status(row.status)


async def activate(
    tx: Transaction, *, user_id: UUID, saga_id: UUID, is_verified: bool
) -> Row | None:
    """Make a PENDING user ACTIVE; leaves any other status alone.

    Returns the row's create_time, or None when the user is gone since.
    """
    return await tx.first(_ACTIVATE, user_id=user_id, saga_id=saga_id, is_verified=is_verified)


async def delete_pending(tx: Transaction, user_id: UUID) -> None:
    """Delete a user whose registration is undone; nothing when it is not PENDING."""
    await tx.execute(_DELETE_PENDING, user_id=user_id)


async def get(reader: Reader, user_id: UUID) -> User | None:
    """Return a user, or None; PENDING users are nobody."""
    row = await reader.first(_GET, user_id=user_id)
    return None if row is None else user_of(row)


def user_of(row: Row) -> User:
    """Read the columns of `_VISIBLE`."""
    return User(
        id=row.id,
        email=row.email_as_typed,
        full_name=row.full_name,
        role=row.role,
        status=Status(row.status),
        email_verified=row.email_verified,
        create_time=row.create_time,
    )
