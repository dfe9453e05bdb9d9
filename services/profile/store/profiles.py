"""The SQL of profiles."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import Text, Uuid, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from services.common.errors import PhoneTaken
from services.common.forgetting import Forgetting
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement, newest_first
from services.kernel.errors import IllegalState
from services.kernel.ids import new_id
from services.profile.model import (
    BRANDS,
    FORGOTTEN_USERS,
    IDEMPOTENCY,
    PROFILES,
    REPLY_USER_ID,
    SAGA_BARRIERS,
    Brand,
    NewProfile,
    Profile,
    ProfileColumns,
    display_name,
)

PHONE_IS_UNIQUE = "uq_profiles_phone_number"
USER_IS_UNIQUE = "uq_profiles_user_id"
FORGOTTEN = "ForgetProfile"
"""The branch under which processes of 0.1 file a forgotten user in `saga_barriers`.

They and later ones run side by side during an update, so these rows are written and read
beside `forgotten_users`.
"""

A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProfileInsert:
    id: UUID
    user_id: UUID
    saga_id: UUID
    status: str
    first_name: str | None
    last_name: str | None
    display_name: str | None
    phone_number: str | None
    address: str | None
    course: str | None


@dataclass(frozen=True, slots=True)
class _ProfileRow(ProfileColumns):
    brand_id: UUID | None
    brand_name: str | None
    brand_description: str | None
    brand_website_url: str | None
    brand_logo_url: str | None
    brand_brand_type: str | None
    brand_company_size: str | None
    brand_user_role: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProfileChange:
    user_id: UUID
    first_name: str | None
    last_name: str | None
    display_name: str | None
    phone_number: str | None
    address: str | None
    bio: str | None
    avatar_url: str | None
    course: str | None


@dataclass(frozen=True, slots=True)
class _StatusChange:
    user_id: UUID
    status: str
    version: int


@dataclass(frozen=True, slots=True)
class _ProfilePage:
    before_time: datetime
    before_id: UUID
    limit: int


@dataclass(frozen=True, slots=True)
class _ProfilePageOfStatus(_ProfilePage):
    status: str


@dataclass(frozen=True, slots=True)
class _ByPhone:
    phone_number: str


@dataclass(frozen=True, slots=True)
class _ProfileSaga:
    saga_id: UUID | None


@dataclass(frozen=True, slots=True)
class _ProfileOwner:
    user_id: UUID


@dataclass(frozen=True, slots=True)
class _IsFound:
    found: bool


_COLUMNS = [PROFILES.c[each.name] for each in fields(ProfileColumns)]
_WITH_BRAND = select(
    *_COLUMNS, *(BRANDS.c[each.name].label(f"brand_{each.name}") for each in fields(Brand))
).select_from(PROFILES.outerjoin(BRANDS, BRANDS.c.profile_id == PROFILES.c.id))
_OF_USER = PROFILES.c.user_id == bindparam("user_id")
FORGETTING = Forgetting(
    IDEMPOTENCY,
    about=bindparam("user_id", type_=Uuid).cast(Text) == REPLY_USER_ID,
    tombstones=FORGOTTEN_USERS,
)
_CHANGED = {"revision": PROFILES.c.revision + 1, "update_time": func.clock_timestamp()}

_INSERT = Statement(
    insert(PROFILES)
    .values({each.name: bindparam(each.name) for each in fields(_ProfileInsert)})
    # The coordinator compares it with its own clock (see `sagas.clocks`).
    .values(create_time=func.saga_now())
    .on_conflict_do_nothing(constraint=PHONE_IS_UNIQUE)
    .returning(*_COLUMNS),
    _ProfileInsert,
    ProfileColumns,
)
_DELETE_OF_SAGA = Statement(
    delete(PROFILES)
    .where(PROFILES.c.saga_id == bindparam("saga_id"))
    .returning(PROFILES.c.user_id),
    _ProfileSaga,
    _ProfileOwner,
)
_SAGA_OF_USER = Statement(select(PROFILES.c.saga_id).where(_OF_USER), ByUser, _ProfileSaga)
_DELETE_OF_USER = Statement(delete(PROFILES).where(_OF_USER), ByUser, NoRow)
_IS_FORGOTTEN = Statement(
    select(
        or_(
            exists().where(FORGOTTEN_USERS.c.user_id == bindparam("user_id")),
            exists().where(
                SAGA_BARRIERS.c.saga_id == bindparam("user_id"), SAGA_BARRIERS.c.branch == FORGOTTEN
            ),
        ).label("found")
    ),
    ByUser,
    _IsFound,
)
_GET = Statement(_WITH_BRAND.where(_OF_USER), ByUser, _ProfileRow)
_LOCK = Statement(_WITH_BRAND.where(_OF_USER).with_for_update(of=PROFILES), ByUser, _ProfileRow)
_UPDATE = Statement(
    update(PROFILES)
    .where(_OF_USER)
    .values(
        {
            each.name: bindparam(each.name)
            for each in fields(_ProfileChange)
            if each.name != "user_id"
        }
        | _CHANGED
    ),
    _ProfileChange,
    NoRow,
)
_SET_STATUS = Statement(
    update(PROFILES)
    .where(_OF_USER, PROFILES.c.status_version < bindparam("version"))
    .values({"status": bindparam("status"), "status_version": bindparam("version")} | _CHANGED),
    _StatusChange,
    NoRow,
)
_EXISTS = Statement(select(exists().where(_OF_USER).label("found")), ByUser, _IsFound)
_PHONE_EXISTS = Statement(
    select(exists().where(PROFILES.c.phone_number == bindparam("phone_number")).label("found")),
    _ByPhone,
    _IsFound,
)
_PAGE = newest_first(_WITH_BRAND, PROFILES)
_LIST = Statement(_PAGE, _ProfilePage, _ProfileRow)
_LIST_OF_STATUS = Statement(
    _PAGE.where(PROFILES.c.status == bindparam("status")), _ProfilePageOfStatus, _ProfileRow
)


async def insert_new(tx: Transaction, new: NewProfile, *, saga_id: UUID) -> Profile:
    """Insert a profile; wait for another transaction that inserts the same phone number.

    Raises:
        PhoneTaken: Another profile has the number; the transaction goes on.
        IllegalState: The user has a profile of another saga; the transaction is over.
    """
    row = _ProfileInsert(
        id=new_id(),
        user_id=new.user_id,
        saga_id=saga_id,
        status=new.status,
        first_name=new.first_name,
        last_name=new.last_name,
        display_name=display_name(new.first_name, new.last_name),
        phone_number=new.phone_number,
        address=new.address,
        course=new.course,
    )
    try:
        inserted = await tx.first(_INSERT, row)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == USER_IS_UNIQUE:
            raise IllegalState("This user has a profile already.") from error
        raise
    if inserted is None:
        raise PhoneTaken
    return _profile(inserted, brand=None)


async def get(reader: Reader, user_id: UUID) -> Profile | None:
    """Return a user's profile with its brand, or None."""
    row = await reader.first(_GET, ByUser(user_id))
    return None if row is None else _profile(row, _brand(row))


async def lock(tx: Transaction, user_id: UUID) -> Profile | None:
    """Return a user's profile and keep others from changing it, or None."""
    row = await tx.first(_LOCK, ByUser(user_id))
    return None if row is None else _profile(row, _brand(row))


async def update_locked(tx: Transaction, profile: Profile) -> Profile:
    """Write a profile that was read by `lock`, and return it with its new etag.

    Raises:
        PhoneTaken: Another profile has the number; the transaction is over.
    """
    try:
        await tx.execute(_UPDATE, _change(profile))
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == PHONE_IS_UNIQUE:
            raise PhoneTaken from error
        raise
    updated = await get(tx, profile.user_id)
    assert updated is not None
    return updated


async def set_status(tx: Transaction, user_id: UUID, *, status: str, version: int) -> bool:
    """Set the status, unless the version is old; return whether the user has a profile."""
    if await tx.execute(_SET_STATUS, _StatusChange(user_id, status, version)):
        return True
    return await _is_found(tx, _EXISTS, ByUser(user_id))


async def list_newest(
    reader: Reader, *, status: str | None, before: tuple[datetime, UUID], limit: int
) -> list[Profile]:
    """Return profiles, the newest first, from a position on."""
    if status is None:
        rows = await reader.all(_LIST, _ProfilePage(*before, limit))
    else:
        rows = await reader.all(_LIST_OF_STATUS, _ProfilePageOfStatus(*before, limit, status))
    return [_profile(row, _brand(row)) for row in rows]


async def phone_exists(reader: Reader, phone_number: str) -> bool:
    """Return whether a profile has this phone number."""
    return await _is_found(reader, _PHONE_EXISTS, _ByPhone(phone_number))


async def is_forgotten(tx: Transaction, user_id: UUID) -> bool:
    """Return whether a user's profile was erased because the account is deleted."""
    return await _is_found(tx, _IS_FORGOTTEN, ByUser(user_id))


async def delete_of_saga(tx: Transaction, saga_id: UUID) -> UUID | None:
    """Delete the profile of a saga with its brand; return its user, or None."""
    owner = await tx.first(_DELETE_OF_SAGA, _ProfileSaga(saga_id))
    return None if owner is None else owner.user_id


async def saga_of(tx: Transaction, user_id: UUID) -> UUID | None:
    """Return the saga that made a user's profile, if both are known, or None."""
    saga = await tx.first(_SAGA_OF_USER, ByUser(user_id))
    return None if saga is None else saga.saga_id


async def delete_of_user(tx: Transaction, user_id: UUID) -> None:
    """Delete a user's profile with its brand."""
    await tx.execute(_DELETE_OF_USER, ByUser(user_id))


async def _is_found(reader: Reader, statement: Statement[A, _IsFound], given: A) -> bool:
    row = await reader.first(statement, given)
    assert row is not None
    return row.found


def _change(profile: Profile) -> _ProfileChange:
    return _ProfileChange(
        user_id=profile.user_id,
        first_name=profile.first_name,
        last_name=profile.last_name,
        display_name=profile.display_name,
        phone_number=profile.phone_number,
        address=profile.address,
        bio=profile.bio,
        avatar_url=profile.avatar_url,
        course=profile.course,
    )


def _profile(row: ProfileColumns, brand: Brand | None) -> Profile:
    return Profile(
        id=row.id,
        user_id=row.user_id,
        first_name=row.first_name,
        last_name=row.last_name,
        display_name=row.display_name,
        phone_number=row.phone_number,
        address=row.address,
        bio=row.bio,
        avatar_url=row.avatar_url,
        course=row.course,
        status=row.status,
        revision=row.revision,
        create_time=row.create_time,
        update_time=row.update_time,
        brand=brand,
    )


def _brand(row: _ProfileRow) -> Brand | None:
    if row.brand_id is None:
        return None
    assert row.brand_name is not None
    return Brand(
        id=row.brand_id,
        name=row.brand_name,
        description=row.brand_description,
        website_url=row.brand_website_url,
        logo_url=row.brand_logo_url,
        brand_type=row.brand_brand_type,
        company_size=row.brand_company_size,
        user_role=row.brand_user_role,
    )
