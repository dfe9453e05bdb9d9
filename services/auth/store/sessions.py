"""The SQL of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    Interval,
    bindparam,
    cast,
    delete,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import ROLES, SESSIONS, USERS
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement

IDLE = timedelta(days=30)  # a session ends when it is not refreshed for so long
LIFE = timedelta(days=90)  # no session lives longer (OWASP ASVS 5, 7.3)
GRACE = timedelta(seconds=10)
SESSIONS_MAX = 50  # for an account
PASSWORD_TRIES = 10


@dataclass(frozen=True, slots=True)
class SessionClient:
    """The client of a session.

    Attributes:
        name: As it names itself; None when it does not.
        ip: None when it is not known.
        language: The language of its user; None when it names none of ours.
    """

    name: str | None
    ip: str | None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session as its user sees it.

    Attributes:
        client_ip: The client's IP at the login or the last refresh.
        auth_time: When the user last proved the password.
        last_seen_time: When the session was last used, exact to 15 minutes.
    """

    id: UUID
    client_name: str | None
    client_ip: str | None
    create_time: datetime
    auth_time: datetime
    last_seen_time: datetime
    expire_time: datetime
    has_second_factor: bool


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
class BySession:
    """The parameter of a statement about one session."""

    session_id: UUID


@dataclass(frozen=True, slots=True)
class _Held:
    user_id: UUID


@dataclass(frozen=True, slots=True)
class _ClientName:
    client_name: str | None


@dataclass(frozen=True, slots=True)
class _OfUser:
    session_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class _Rotation:
    session_id: UUID
    client_ip: str | None


@dataclass(frozen=True, slots=True)
class _Tries:
    wrong_passwords: int


@dataclass(frozen=True, slots=True)
class _NewSession:
    session_id: UUID
    user_id: UUID
    seed_hash: bytes
    client_name: str | None
    client_ip: str | None
    has_second_factor: bool


@dataclass(frozen=True, slots=True)
class _OfUserExcept:
    user_id: UUID
    except_id: UUID | None


BY_ID = SESSIONS.c.id == bindparam("session_id")
LIVES = SESSIONS.c.expire_time > func.saga_now()
# The sessions of a DELETING user live until Commerce can no longer refuse the deletion.
USER_LIVES = or_(USERS.c.status == "ACTIVE", USERS.c.status == "DELETING")

_INSERT = Statement(
    insert(SESSIONS).values(
        id=bindparam("session_id"),
        user_id=bindparam("user_id"),
        generation=0,
        refresh_hash=bindparam("seed_hash"),
        client_name=bindparam("client_name"),
        address=bindparam("client_ip"),
        has_second_factor=bindparam("has_second_factor"),
        expire_time=func.saga_now() + bindparam("idle", IDLE, Interval),
    ),
    _NewSession,
    NoRow,
)
_OF_USER = SESSIONS.c.user_id == bindparam("user_id")
_NAME = Statement(select(SESSIONS.c.client_name).where(BY_ID), BySession, _ClientName)
_LAST_SEEN_FIRST = (SESSIONS.c.last_seen_time.desc(), SESSIONS.c.id.desc())
_LIST = Statement(
    select(
        SESSIONS.c.id,
        SESSIONS.c.client_name,
        SESSIONS.c.address.label("client_ip"),
        SESSIONS.c.create_time,
        SESSIONS.c.auth_time,
        SESSIONS.c.last_seen_time,
        SESSIONS.c.expire_time,
        SESSIONS.c.has_second_factor,
    )
    .where(_OF_USER, LIVES)
    .order_by(*_LAST_SEEN_FIRST)
    .limit(SESSIONS_MAX),
    ByUser,
    ListedSession,
)
_END_SURPLUS = Statement(
    delete(SESSIONS).where(
        SESSIONS.c.id.in_(
            select(SESSIONS.c.id)
            .where(_OF_USER)
            .order_by(*_LAST_SEEN_FIRST)
            .offset(SESSIONS_MAX)
            .scalar_subquery()
        )
    ),
    ByUser,
    NoRow,
)
_END_OF_USER = Statement(delete(SESSIONS).where(BY_ID, _OF_USER), _OfUser, NoRow)
# The lock keeps the session from being removed, and lets it be refreshed.
_HOLD = Statement(
    select(SESSIONS.c.user_id)
    .select_from(SESSIONS.join(USERS))
    .where(BY_ID, LIVES, USER_LIVES)
    .with_for_update(of=SESSIONS, read=True, key_share=True),
    BySession,
    _Held,
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
    .where(BY_ID, LIVES, USER_LIVES)
    .with_for_update(of=SESSIONS),
    BySession,
    Refreshable,
)
_ROTATE = Statement(
    update(SESSIONS)
    .where(BY_ID)
    .values(
        generation=SESSIONS.c.generation + 1,
        rotate_time=func.saga_now(),
        last_seen_time=func.saga_now(),
        address=bindparam("client_ip"),
        expire_time=func.least(
            func.saga_now() + bindparam("idle", IDLE, Interval),
            SESSIONS.c.create_time + bindparam("life", LIFE, Interval),
        ),
    ),
    _Rotation,
    NoRow,
)
_END = Statement(delete(SESSIONS).where(BY_ID), BySession, NoRow)
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
    .where(BY_ID, SESSIONS.c.wrong_passwords < PASSWORD_TRIES)
    .values(wrong_passwords=SESSIONS.c.wrong_passwords + 1)
    .returning(SESSIONS.c.wrong_passwords),
    BySession,
    _Tries,
)
_GIVE_BACK = Statement(
    update(SESSIONS)
    .where(BY_ID)
    .values(wrong_passwords=func.greatest(SESSIONS.c.wrong_passwords - 1, 0)),
    BySession,
    NoRow,
)
_NOTE_SECOND_FACTOR = Statement(
    update(SESSIONS).where(BY_ID).values(has_second_factor=true()), BySession, NoRow
)
_FORGET_SECOND_FACTOR = Statement(
    update(SESSIONS)
    .where(_OF_USER, SESSIONS.c.has_second_factor)
    .values(has_second_factor=false()),
    ByUser,
    NoRow,
)
_FORGIVE = Statement(update(SESSIONS).where(BY_ID).values(wrong_passwords=0), BySession, NoRow)
EXPIRED = old_rows("sessions", SESSIONS, SESSIONS.c.expire_time)


async def insert_session(
    tx: Transaction,
    *,
    session_id: UUID,
    user_id: UUID,
    seed_hash: bytes,
    client: SessionClient,
    has_second_factor: bool,
) -> None:
    """Insert a session; the transaction must have locked the user."""
    new = _NewSession(
        session_id=session_id,
        user_id=user_id,
        seed_hash=seed_hash,
        client_name=client.name,
        client_ip=client.ip,
        has_second_factor=has_second_factor,
    )
    await tx.execute(_INSERT, new)


async def list_of_user(reader: Reader, user_id: UUID) -> list[ListedSession]:
    """Return the sessions of a user, the one that was seen last first."""
    return await reader.all(_LIST, ByUser(user_id))


async def client_name(reader: Reader, session_id: UUID) -> str | None:
    """Return the name of a session's client; None when it has none."""
    row = await reader.first(_NAME, BySession(session_id))
    return None if row is None else row.client_name


async def hold(tx: Transaction, session_id: UUID) -> bool:
    """Keep a session from ending until the transaction ends; False when it has ended."""
    return await tx.first(_HOLD, BySession(session_id)) is not None


async def lock(tx: Transaction, session_id: UUID) -> Refreshable | None:
    """Lock and return a session; None when it has ended, or its user's access has."""
    return await tx.first(_LOCK, BySession(session_id))


async def rotate(tx: Transaction, session_id: UUID, *, client_ip: str | None) -> None:
    """Begin the next generation of a session that is locked."""
    await tx.execute(_ROTATE, _Rotation(session_id=session_id, client_ip=client_ip))


async def take_password_try(tx: Transaction, session_id: UUID) -> int | None:
    """Take a try of the password, and return its number; None when no try is left."""
    row = await tx.first(_TAKE_TRY, BySession(session_id))
    return None if row is None else row.wrong_passwords


async def forgive_passwords(tx: Transaction, session_id: UUID) -> None:
    """Give all tries back: the password was right."""
    await tx.execute(_FORGIVE, BySession(session_id))


async def give_back_try(tx: Transaction, session_id: UUID) -> None:
    """Give one try back: the password was right, but wrong second factors stay counted."""
    await tx.execute(_GIVE_BACK, BySession(session_id))


async def note_second_factor(tx: Transaction, session_id: UUID) -> bool:
    """Note that a session's user has proven the second factor; False when it has ended."""
    return await tx.execute(_NOTE_SECOND_FACTOR, BySession(session_id)) == 1


async def forget_second_factor(tx: Transaction, user_id: UUID) -> None:
    """Forget that the sessions of a user had a second factor: it is gone."""
    await tx.execute(_FORGET_SECOND_FACTOR, ByUser(user_id))


async def end(tx: Transaction, session_id: UUID) -> None:
    """End a session; nothing when it has ended before."""
    await tx.execute(_END, BySession(session_id))


async def end_of_user(tx: Transaction, session_id: UUID, *, user_id: UUID) -> bool:
    """End a session of a user; False when the user has no such session."""
    return await tx.execute(_END_OF_USER, _OfUser(session_id, user_id)) == 1


async def end_surplus(tx: Transaction, user_id: UUID) -> int:
    """End the sessions of a user beyond the fiftieth, those seen longest ago; return the number.

    The transaction must have locked the user.
    """
    return await tx.execute(_END_SURPLUS, ByUser(user_id))


async def end_all(tx: Transaction, user_id: UUID, *, except_id: UUID | None = None) -> int:
    """End the sessions of a user, perhaps except one; return the number."""
    return await tx.execute(_END_ALL, _OfUserExcept(user_id=user_id, except_id=except_id))
