"""The SQL of changes to accounts: of their status, e-mail and role, and of their end.

A transaction that writes something of a user locks the user's row first, so that it comes
before a deletion or finds nobody. All lock in one order, and so none waits for another that
waits for it: the administrators, the user, limits of codes, flows and sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg
from sqlalchemy import (
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)

from services.auth.errors import EmailTaken
from services.auth.model import (
    ROLES,
    SAGAS,
    USERS,
    CanonicalEmail,
    Email,
    Status,
    User,
)
from services.auth.store.users import VISIBLE, RoleId
from services.common.vocabulary import Role
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoParameters, NoRow, Statement


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The status of an account, from which that of its profile follows.

    Attributes:
        version: A number that grows with every change.
    """

    status: Status
    is_verified: bool
    version: int

    @property
    def profile_status(self) -> str:
        """The status that the profile must have."""
        if self.status is Status.DISABLED:
            return "suspended"
        return "active" if self.is_verified else "pending"


@dataclass(frozen=True, slots=True)
class _NewEmail:
    user_id: UUID
    email: CanonicalEmail
    email_as_typed: str


@dataclass(frozen=True, slots=True, repr=False)
class _NewPassword:
    user_id: UUID
    password_hash: str


@dataclass(frozen=True, slots=True)
class _NewStatus:
    user_id: UUID
    status: Status


@dataclass(frozen=True, slots=True)
class _NewRoleOfUser:
    user_id: UUID
    role: Role


@dataclass(frozen=True, slots=True)
class _Number:
    number: int


@dataclass(frozen=True, slots=True)
class _DeletedUser:
    email: CanonicalEmail


@dataclass(frozen=True, slots=True)
class _SagaOfUser:
    user_id: UUID
    kind: str
    except_id: UUID | None


@dataclass(frozen=True, slots=True)
class _SagaId:
    id: UUID


_BY_ID = USERS.c.id == bindparam("user_id")
_VERSIONED = {"status_version": USERS.c.status_version + 1, "update_time": func.saga_now()}
_STATUS = Statement(
    select(
        USERS.c.status,
        USERS.c.email_verify_time.is_not(None).label("is_verified"),
        USERS.c.status_version.label("version"),
    ).where(_BY_ID),
    ByUser,
    AccountStatus,
)
_LOCK = Statement(
    select(*VISIBLE)
    .select_from(USERS.join(ROLES))
    .where(_BY_ID, USERS.c.status != "PENDING")
    .with_for_update(of=USERS),
    ByUser,
    User,
)
_VERIFY = Statement(
    update(USERS)
    .where(_BY_ID)
    .values(
        email_verify_time=func.coalesce(USERS.c.email_verify_time, func.saga_now()), **_VERSIONED
    ),
    ByUser,
    NoRow,
)
_CHANGE_EMAIL = Statement(
    update(USERS)
    .where(_BY_ID)
    .values(email=bindparam("email"), email_as_typed=bindparam("email_as_typed")),
    _NewEmail,
    NoRow,
)
_SET_PASSWORD = Statement(
    update(USERS)
    .where(_BY_ID)
    .values(password_hash=bindparam("password_hash"), update_time=func.saga_now()),
    _NewPassword,
    NoRow,
)
_SET_STATUS = Statement(
    update(USERS).where(_BY_ID).values(status=bindparam("status"), **_VERSIONED),
    _NewStatus,
    NoRow,
)
_SET_ROLE = Statement(
    update(USERS)
    .where(_BY_ID)
    .values(
        role_id=select(ROLES.c.id).where(ROLES.c.name == bindparam("role")).scalar_subquery(),
        update_time=func.saga_now(),
    ),
    _NewRoleOfUser,
    NoRow,
)
# Every change that may take an administrator away waits for this lock. Registrations only
# refer to the role's row, and do not wait.
_LOCK_ADMINS = Statement(
    select(ROLES.c.id).where(ROLES.c.name == "admin").with_for_update(key_share=True),
    NoParameters,
    RoleId,
)
_OTHER_ADMINS = Statement(
    select(func.count().label("number"))
    .select_from(USERS.join(ROLES))
    .where(ROLES.c.name == "admin", USERS.c.status == "ACTIVE", USERS.c.id != bindparam("user_id")),
    ByUser,
    _Number,
)
_DELETE = Statement(
    delete(USERS).where(_BY_ID, USERS.c.status == "DELETING").returning(USERS.c.email),
    ByUser,
    _DeletedUser,
)
_RUNNING_SAGA = Statement(
    select(SAGAS.c.id).where(
        SAGAS.c.user_id == bindparam("user_id"),
        SAGAS.c.kind == bindparam("kind"),
        SAGAS.c.id.is_distinct_from(bindparam("except_id")),
        literal_column("state IN ('RUNNING', 'COMPENSATING')"),
    ),
    _SagaOfUser,
    _SagaId,
)


async def status(reader: Reader, user_id: UUID) -> AccountStatus | None:
    """Return the status of a user's account, or None when there is no such user."""
    return await reader.first(_STATUS, ByUser(user_id))


async def lock(tx: Transaction, user_id: UUID) -> User | None:
    """Lock a user until the transaction ends, and return it, or None; PENDING ones are None."""
    return await tx.first(_LOCK, ByUser(user_id))


async def verify_email(tx: Transaction, user_id: UUID) -> None:
    """Mark a user's e-mail as confirmed."""
    await tx.execute(_VERIFY, ByUser(user_id))


async def change_email(tx: Transaction, user_id: UUID, email: Email) -> None:
    """Give a user another e-mail.

    Raises:
        EmailTaken: Another user has it. The transaction can only be rolled back.
    """
    new = _NewEmail(user_id=user_id, email=email.canonical, email_as_typed=email.typed)
    try:
        await tx.execute(_CHANGE_EMAIL, new)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != "uq_users_email":
            raise
        raise EmailTaken from error


async def set_password(tx: Transaction, user_id: UUID, password_hash: str) -> None:
    """Give a user another password."""
    await tx.execute(_SET_PASSWORD, _NewPassword(user_id=user_id, password_hash=password_hash))


async def set_status(tx: Transaction, user_id: UUID, status: Status) -> None:
    """Give a user another status."""
    await tx.execute(_SET_STATUS, _NewStatus(user_id=user_id, status=status))


async def set_role(tx: Transaction, user_id: UUID, role: Role) -> None:
    """Give a user another role, whose row must exist."""
    await tx.execute(_SET_ROLE, _NewRoleOfUser(user_id=user_id, role=role))


async def lock_administrators(tx: Transaction) -> None:
    """Lock the administrators: until the transaction ends, no other can take one away.

    A transaction must call this before it locks a user.
    """
    await tx.execute(_LOCK_ADMINS, NoParameters())


async def count_other_administrators(tx: Transaction, user_id: UUID) -> int:
    """Return the number of ACTIVE administrators other than this user."""
    row = await tx.first(_OTHER_ADMINS, ByUser(user_id))
    assert row is not None
    return row.number


async def running_saga(
    reader: Reader, user_id: UUID, *, kind: str, except_id: UUID | None
) -> UUID | None:
    """Return the saga of this kind that is running for a user, if there is another one."""
    row = await reader.first(_RUNNING_SAGA, _SagaOfUser(user_id, kind, except_id))
    return None if row is None else row.id


async def delete_user(tx: Transaction, user_id: UUID) -> CanonicalEmail | None:
    """Delete a user who is DELETING, with sessions and codes; return the e-mail, or None."""
    row = await tx.first(_DELETE, ByUser(user_id))
    return None if row is None else row.email
