"""The SQL of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Interval, bindparam, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import ROLES, SESSIONS, USERS
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.rpc.access import Session

IDLE = timedelta(days=30)  # a session ends when it is not refreshed for so long
LIFE = timedelta(days=90)  # no session lives longer (OWASP ASVS 5, 7.3)
GRACE = timedelta(seconds=10)
PASSWORD_TRIES = 10


@dataclass(frozen=True, slots=True)
class Refreshable:
    """A session that is locked, to be refreshed.

    Attributes:
        rotated_lately: Whether it was refreshed within the last ten seconds.
    """

    user_id: UUID
    email_display: str
    role: str
    generation: int
    seed_hash: bytes
    rotated_lately: bool


@dataclass(frozen=True, slots=True)
class _BySession:
    session_id: UUID


@dataclass(frozen=True, slots=True)
class _Tries:
    wrong_passwords: int


@dataclass(frozen=True, slots=True)
class _NewSession:
    session_id: UUID
    user_id: UUID
    seed_hash: bytes


@dataclass(frozen=True, slots=True)
class _OfUserExcept:
    user_id: UUID
    except_id: UUID | None


_BY_ID = SESSIONS.c.id == bindparam("session_id")
_LIVES = SESSIONS.c.expire_time > func.saga_now()
# The sessions of a DELETING user live until Commerce can no longer refuse the deletion.
_USER_LIVES = or_(USERS.c.status == "ACTIVE", USERS.c.status == "DELETING")

_INSERT = Statement(
    insert(SESSIONS).values(
        id=bindparam("session_id"),
        user_id=bindparam("user_id"),
        generation=0,
        refresh_hash=bindparam("seed_hash"),
        expire_time=func.saga_now() + bindparam("idle", IDLE, Interval),
    ),
    _NewSession,
    NoRow,
)
_CHECK = Statement(
    select(ROLES.c.name.label("role"), SESSIONS.c.user_id)
    .select_from(SESSIONS.join(USERS).join(ROLES))
    .where(_BY_ID, _LIVES, _USER_LIVES),
    _BySession,
    Session,
)
# The lock keeps the session from being removed, and lets it be refreshed.
_HOLD = Statement(
    select(ROLES.c.name.label("role"), SESSIONS.c.user_id)
    .select_from(SESSIONS.join(USERS).join(ROLES))
    .where(_BY_ID, _LIVES, _USER_LIVES)
    .with_for_update(of=SESSIONS, read=True, key_share=True),
    _BySession,
    Session,
)
_LOCK = Statement(
    select(
        SESSIONS.c.user_id,
        USERS.c.email_as_typed.label("email_display"),
        ROLES.c.name.label("role"),
        SESSIONS.c.generation,
        SESSIONS.c.refresh_hash.label("seed_hash"),
        # The cast is needed: a moment can be subtracted from a moment, too.
        (SESSIONS.c.rotate_time > func.saga_now() - cast(GRACE, Interval)).label("rotated_lately"),
    )
    .select_from(SESSIONS.join(USERS).join(ROLES))
    .where(_BY_ID, _LIVES, _USER_LIVES)
    .with_for_update(of=SESSIONS),
    _BySession,
    Refreshable,
)
_ROTATE = Statement(
    update(SESSIONS)
    .where(_BY_ID)
    .values(
        generation=SESSIONS.c.generation + 1,
        rotate_time=func.saga_now(),
        expire_time=func.least(
            func.saga_now() + bindparam("idle", IDLE, Interval),
            SESSIONS.c.create_time + bindparam("life", LIFE, Interval),
        ),
    ),
    _BySession,
    NoRow,
)
_END = Statement(delete(SESSIONS).where(_BY_ID), _BySession, NoRow)
_END_ALL = Statement(
    delete(SESSIONS).where(
        SESSIONS.c.user_id == bindparam("user_id"),
        SESSIONS.c.id.is_distinct_from(bindparam("except_id", type_=SESSIONS.c.id.type)),
    ),
    _OfUserExcept,
    NoRow,
)
_TAKE_TRY = Statement(
    update(SESSIONS)
    .where(_BY_ID, SESSIONS.c.wrong_passwords < PASSWORD_TRIES)
    .values(wrong_passwords=SESSIONS.c.wrong_passwords + 1)
    .returning(SESSIONS.c.wrong_passwords),
    _BySession,
    _Tries,
)
_FORGIVE = Statement(update(SESSIONS).where(_BY_ID).values(wrong_passwords=0), _BySession, NoRow)
EXPIRED = old_rows("sessions", SESSIONS, SESSIONS.c.expire_time)


@dataclass(frozen=True, slots=True)
class LocalSessions:
    """Checks sessions for Auth's own access rules (`access.SessionChecker`)."""

    database: Database

    async def check(self, session_id: UUID, *, fresh: bool) -> Session | None:  # noqa: ARG002 - every answer is fresh
        """See `access.SessionChecker`."""
        return await check(self.database, session_id)


async def insert_session(
    tx: Transaction, *, session_id: UUID, user_id: UUID, seed_hash: bytes
) -> None:
    """Insert a session; the transaction must have locked the user's status."""
    await tx.execute(
        _INSERT,
        _NewSession(session_id=session_id, user_id=user_id, seed_hash=seed_hash),
    )


async def check(reader: Reader, session_id: UUID) -> Session | None:
    """Return a session, or None when it has ended, or its user's access has."""
    return await reader.first(_CHECK, _BySession(session_id))


async def hold(tx: Transaction, session_id: UUID) -> bool:
    """Keep a session from ending until the transaction ends; False when it has ended."""
    return await tx.first(_HOLD, _BySession(session_id)) is not None


async def lock(tx: Transaction, session_id: UUID) -> Refreshable | None:
    """Lock and return a session; None when it has ended, or its user's access has."""
    return await tx.first(_LOCK, _BySession(session_id))


async def rotate(tx: Transaction, session_id: UUID) -> None:
    """Begin the next generation of a session that is locked."""
    await tx.execute(_ROTATE, _BySession(session_id))


async def take_password_try(tx: Transaction, session_id: UUID) -> int | None:
    """Take a try of the password, and return its number; None when no try is left."""
    row = await tx.first(_TAKE_TRY, _BySession(session_id))
    return None if row is None else row.wrong_passwords


async def forgive_passwords(tx: Transaction, session_id: UUID) -> None:
    """Give all tries back: the password was right."""
    await tx.execute(_FORGIVE, _BySession(session_id))


async def end(tx: Transaction, session_id: UUID) -> None:
    """End a session; nothing when it has ended before."""
    await tx.execute(_END, _BySession(session_id))


async def end_all(tx: Transaction, user_id: UUID, *, except_id: UUID | None = None) -> int:
    """End the sessions of a user, perhaps except one; return the number."""
    return await tx.execute(_END_ALL, _OfUserExcept(user_id=user_id, except_id=except_id))
