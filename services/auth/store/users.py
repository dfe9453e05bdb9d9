"""The SQL of users and roles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Uuid, bindparam, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import (
    ROLES,
    TOTPS,
    USERS,
    CanonicalEmail,
    Email,
    Recipient,
    Status,
    User,
    mailbox,
)
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class ByEmail:
    """The parameter of a statement about one e-mail."""

    email: CanonicalEmail


@dataclass(frozen=True, slots=True)
class _RoleName:
    role: str


@dataclass(frozen=True, slots=True)
class _NewRole:
    role_id: UUID
    role: str


@dataclass(frozen=True, slots=True)
class RoleId:
    """The id of a role."""

    id: UUID


@dataclass(frozen=True, slots=True, repr=False)
class _NewUser:
    user_id: UUID
    saga_id: UUID
    email: CanonicalEmail
    email_as_typed: str
    password_hash: str
    full_name: str
    role: str
    language: str | None


@dataclass(frozen=True, slots=True)
class _StatusOfUser:
    status: Status


@dataclass(frozen=True, slots=True)
class _Activation:
    user_id: UUID
    saga_id: UUID
    is_verified: bool


@dataclass(frozen=True, slots=True)
class ActivatedUser:
    """A user whose registration has succeeded."""

    create_time: datetime
    language: str | None


@dataclass(frozen=True, slots=True)
class _PossibleReaders:
    user_ids: list[UUID]


@dataclass(frozen=True, slots=True, repr=False)
class _Reader:
    user_id: UUID
    email: CanonicalEmail
    email_as_typed: str
    language: str | None


_ADD_ROLE = Statement(
    insert(ROLES).values(id=bindparam("role_id"), name=bindparam("role")).on_conflict_do_nothing(),
    _NewRole,
    NoRow,
)
_ROLE_ID = Statement(select(ROLES.c.id).where(ROLES.c.name == bindparam("role")), _RoleName, RoleId)
_INSERT = Statement(
    insert(USERS)
    .values(
        id=bindparam("user_id"),
        email=bindparam("email"),
        email_as_typed=bindparam("email_as_typed"),
        password_hash=bindparam("password_hash"),
        full_name=bindparam("full_name"),
        language=bindparam("language"),
        role_id=select(ROLES.c.id).where(ROLES.c.name == bindparam("role")).scalar_subquery(),
        status="PENDING",
        saga_id=bindparam("saga_id"),
    )
    .on_conflict_do_nothing(constraint="uq_users_email"),
    _NewUser,
    NoRow,
)
_STATUS_BY_EMAIL = Statement(
    select(USERS.c.status).where(USERS.c.email == bindparam("email")), ByEmail, _StatusOfUser
)
_ACTIVATE = Statement(
    update(USERS)
    .where(USERS.c.id == bindparam("user_id"), USERS.c.saga_id == bindparam("saga_id"))
    .values(
        status=case((USERS.c.status == "PENDING", "ACTIVE"), else_=USERS.c.status),
        email_verify_time=case(
            (
                bindparam("is_verified", type_=Boolean),
                func.coalesce(USERS.c.email_verify_time, func.saga_now()),
            ),
            else_=USERS.c.email_verify_time,
        ),
        update_time=func.saga_now(),
    )
    .returning(USERS.c.create_time, USERS.c.language),
    _Activation,
    ActivatedUser,
)
_DELETE_PENDING = Statement(
    delete(USERS).where(USERS.c.id == bindparam("user_id"), USERS.c.status == "PENDING"),
    ByUser,
    NoRow,
)
HAS_SECOND_FACTOR = (
    select(TOTPS.c.user_id)
    .where(TOTPS.c.user_id == USERS.c.id, TOTPS.c.confirm_time.is_not(None))
    .correlate(USERS)
    .exists()
    .label("has_second_factor")
)
# The columns of `User`.
VISIBLE = (
    USERS.c.id,
    USERS.c.email_as_typed.label("email_display"),
    USERS.c.full_name,
    ROLES.c.name.label("role"),
    USERS.c.status,
    USERS.c.email_verify_time.is_not(None).label("email_verified"),
    HAS_SECOND_FACTOR,
    USERS.c.create_time,
)
_GET = Statement(
    select(*VISIBLE)
    .select_from(USERS.join(ROLES))
    .where(USERS.c.id == bindparam("user_id"), USERS.c.status != "PENDING"),
    ByUser,
    User,
)

_READERS = Statement(
    select(
        USERS.c.id.label("user_id"), USERS.c.email, USERS.c.email_as_typed, USERS.c.language
    ).where(
        USERS.c.id == func.any(bindparam("user_ids", type_=ARRAY(Uuid))),
        USERS.c.status == "ACTIVE",
        USERS.c.email_verify_time.is_not(None),
    ),
    _PossibleReaders,
    _Reader,
)


async def role_exists(reader: Reader, role: str) -> bool:
    """Say whether a role has a row."""
    return await reader.first(_ROLE_ID, _RoleName(role)) is not None


async def role_id_of(reader: Reader, role: str) -> UUID | None:
    """Return the id of a role's row, or None when there is none."""
    row = await reader.first(_ROLE_ID, _RoleName(role))
    return None if row is None else row.id


async def ensure_role(tx: Transaction, role: str) -> None:
    """Insert a role's row unless there is one."""
    await tx.execute(_ADD_ROLE, _NewRole(role_id=new_id(), role=role))


async def insert_pending(
    tx: Transaction,
    *,
    user_id: UUID,
    saga_id: UUID,
    email: Email,
    password_hash: str,
    full_name: str,
    role: str,
    language: str | None,
) -> bool:
    """Insert a user whose registration has begun; the role's row must exist.

    Returns False when a user has this e-mail, perhaps a PENDING one.
    """
    new = _NewUser(
        user_id=user_id,
        saga_id=saga_id,
        email=email.canonical,
        email_as_typed=email.typed,
        password_hash=password_hash,
        full_name=full_name,
        role=role,
        language=language,
    )
    return await tx.execute(_INSERT, new) == 1


async def status_of_email(reader: Reader, email: CanonicalEmail) -> Status | None:
    """Return the status of the user with this e-mail, or None."""
    row = await reader.first(_STATUS_BY_EMAIL, ByEmail(email))
    return None if row is None else row.status


async def activate(
    tx: Transaction, *, user_id: UUID, saga_id: UUID, is_verified: bool
) -> ActivatedUser | None:
    """Make a PENDING user ACTIVE, and leave any other status alone.

    Returns None when the user is gone.
    """
    return await tx.first(
        _ACTIVATE, _Activation(user_id=user_id, saga_id=saga_id, is_verified=is_verified)
    )


async def delete_pending(tx: Transaction, user_id: UUID) -> None:
    """Delete a user whose registration is undone; nothing when the user is not PENDING."""
    await tx.execute(_DELETE_PENDING, ByUser(user_id))


async def get(reader: Reader, user_id: UUID) -> User | None:
    """Return a user, or None; PENDING ones are None."""
    return await reader.first(_GET, ByUser(user_id))


async def recipients(reader: Reader, user_ids: Iterable[UUID]) -> dict[UUID, Recipient]:
    """Return those of some users who read mail: ACTIVE ones whose e-mail is confirmed."""
    found = await reader.all(_READERS, _PossibleReaders(list(user_ids)))
    return {
        each.user_id: Recipient(mailbox(each.email_as_typed, each.email), each.language)
        for each in found
    }
