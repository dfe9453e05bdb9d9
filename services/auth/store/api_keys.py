"""The SQL of API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Interval, bindparam, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import API_KEYS, ROLES, SESSIONS, USERS
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement

KEYS_MAX: Final = 50  # of an account that have not expired
LISTED_MAX: Final = 100
USED_EVERY: Final = timedelta(minutes=15)  # how exact the time of the last use is


@dataclass(frozen=True, slots=True)
class ListedKey:
    """An API key as its owner sees it.

    Attributes:
        last_use_ip: The client's IP at the last use.
        has_second_factor: Whether the session that made it had one.
    """

    id: UUID
    name: str
    scopes: list[str]
    create_time: datetime
    expire_time: datetime
    last_use_time: datetime | None
    last_use_ip: str | None
    has_second_factor: bool


@dataclass(frozen=True, slots=True, repr=False)
class StoredKey:
    """An API key that has not expired, and its owner, who is ACTIVE.

    Attributes:
        has_second_factor: Whether the session that made it had one.
        was_used: Whether its last use is less than 15 minutes ago.
    """

    user_id: UUID
    role: str
    secret_hash: bytes
    scopes: list[str]
    has_second_factor: bool
    was_used: bool


@dataclass(frozen=True, slots=True, repr=False)
class NewKey:
    """An API key to insert, and the session that makes it."""

    key_id: UUID
    user_id: UUID
    session_id: UUID
    name: str
    secret_hash: bytes
    scopes: list[str]
    life: timedelta


@dataclass(frozen=True, slots=True)
class _KeyId:
    key_id: UUID


@dataclass(frozen=True, slots=True)
class _KeyOfUser:
    key_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class _Use:
    key_id: UUID
    client_ip: str | None


@dataclass(frozen=True, slots=True)
class _KeyCount:
    number: int


_BY_ID = API_KEYS.c.id == bindparam("key_id")
_OF_USER = API_KEYS.c.user_id == bindparam("user_id")
_LIVES = API_KEYS.c.expire_time > func.saga_now()
_WAS_USED = func.coalesce(
    API_KEYS.c.last_use_time > func.saga_now() - cast(USED_EVERY, Interval), False
)
_LISTED = (
    API_KEYS.c.id,
    API_KEYS.c.name,
    API_KEYS.c.scopes,
    API_KEYS.c.create_time,
    API_KEYS.c.expire_time,
    API_KEYS.c.last_use_time,
    API_KEYS.c.address.label("last_use_ip"),
    API_KEYS.c.has_second_factor,
)
_INSERT = Statement(
    insert(API_KEYS)
    .values(
        id=bindparam("key_id"),
        user_id=bindparam("user_id"),
        name=bindparam("name"),
        secret_hash=bindparam("secret_hash"),
        scopes=bindparam("scopes"),
        has_second_factor=select(SESSIONS.c.has_second_factor)
        .where(SESSIONS.c.id == bindparam("session_id"))
        .scalar_subquery(),
        expire_time=func.saga_now() + bindparam("life", type_=Interval),
    )
    .returning(*_LISTED),
    NewKey,
    ListedKey,
)
_COUNT = Statement(
    select(func.count().label("number")).select_from(API_KEYS).where(_OF_USER, _LIVES),
    ByUser,
    _KeyCount,
)
_LIST = Statement(
    select(*_LISTED)
    .where(_OF_USER)
    .order_by(API_KEYS.c.create_time.desc(), API_KEYS.c.id.desc())
    .limit(LISTED_MAX),
    ByUser,
    ListedKey,
)
_FIND = Statement(
    select(
        API_KEYS.c.user_id,
        ROLES.c.name.label("role"),
        API_KEYS.c.secret_hash,
        API_KEYS.c.scopes,
        API_KEYS.c.has_second_factor,
        _WAS_USED.label("was_used"),
    )
    .select_from(API_KEYS.join(USERS).join(ROLES))
    .where(_BY_ID, _LIVES, USERS.c.status == "ACTIVE"),
    _KeyId,
    StoredKey,
)
# A row that is locked is left alone: nobody waits for this.
_USE = Statement(
    update(API_KEYS)
    .where(
        API_KEYS.c.id
        == select(API_KEYS.c.id)
        .where(_BY_ID, ~_WAS_USED)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    .values(last_use_time=func.saga_now(), address=bindparam("client_ip")),
    _Use,
    NoRow,
)
_END = Statement(delete(API_KEYS).where(_BY_ID, _OF_USER), _KeyOfUser, NoRow)
_END_ALL = Statement(delete(API_KEYS).where(_OF_USER), ByUser, NoRow)
OLD = old_rows("API keys", API_KEYS, API_KEYS.c.expire_time, age="30 days")


async def insert_key(tx: Transaction, new: NewKey) -> ListedKey:
    """Insert an API key; the transaction must have locked the user and the session."""
    row = await tx.first(_INSERT, new)
    assert row is not None
    return row


async def count(tx: Transaction, user_id: UUID) -> int:
    """Return the number of a user's API keys that have not expired."""
    row = await tx.first(_COUNT, ByUser(user_id))
    assert row is not None
    return row.number


async def list_of_user(reader: Reader, user_id: UUID) -> list[ListedKey]:
    """Return the API keys of a user, the newest first; also those that expired lately."""
    return await reader.all(_LIST, ByUser(user_id))


async def find(reader: Reader, key_id: UUID) -> StoredKey | None:
    """Return an API key; None when it has ended, or its owner may not log in."""
    return await reader.first(_FIND, _KeyId(key_id))


async def note_use(tx: Transaction, *, key_id: UUID, client_ip: str | None) -> None:
    """Write the use of an API key down, unless one of the last 15 minutes is."""
    await tx.execute(_USE, _Use(key_id=key_id, client_ip=client_ip))


async def end(tx: Transaction, key_id: UUID, *, user_id: UUID) -> bool:
    """End an API key of a user; False when the user has no such key."""
    return await tx.execute(_END, _KeyOfUser(key_id=key_id, user_id=user_id)) == 1


async def end_of_user(tx: Transaction, user_id: UUID) -> None:
    """End all API keys of a user."""
    await tx.execute(_END_ALL, ByUser(user_id))
