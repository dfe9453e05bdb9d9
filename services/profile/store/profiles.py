"""The SQL of profiles."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Text, bindparam, delete, exists, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from services.common.errors import PhoneTaken
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.untyped import Row, Untyped
from services.kernel.errors import IllegalState
from services.kernel.ids import new_id
from services.profile.model import (
    BRANDS,
    IDEMPOTENCY,
    PROFILES,
    SAGA_BARRIERS,
    Brand,
    NewProfile,
    Profile,
    display_name,
)

PHONE_IS_UNIQUE = "uq_profiles_phone_number"
USER_IS_UNIQUE = "uq_profiles_user_id"
FORGOTTEN = "ForgetProfile"
"""The branch of the tombstone that a deleted user leaves, under the user's id."""

_PROFILE_FIELDS = [field.name for field in fields(Profile) if field.name != "brand"]
_BRAND_FIELDS = [field.name for field in fields(Brand)]
_NEW_FIELDS = (
    "id",
    "user_id",
    "saga_id",
    "status",
    "first_name",
    "last_name",
    "display_name",
    "phone_number",
    "address",
    "course",
)
_EDITABLE_FIELDS = (
    "first_name",
    "last_name",
    "display_name",
    "phone_number",
    "address",
    "bio",
    "avatar_url",
    "course",
)
_WITH_BRAND = select(
    *(PROFILES.c[name] for name in _PROFILE_FIELDS),
    *(BRANDS.c[name].label(f"brand_{name}") for name in _BRAND_FIELDS),
).select_from(PROFILES.outerjoin(BRANDS, BRANDS.c.profile_id == PROFILES.c.id))
_OF_USER = PROFILES.c.user_id == bindparam("user_id")
_CHANGED = {"revision": PROFILES.c.revision + 1, "update_time": func.clock_timestamp()}

_INSERT = Untyped(
    insert(PROFILES)
    .values({name: bindparam(name) for name in _NEW_FIELDS})
    .on_conflict_do_nothing(constraint=PHONE_IS_UNIQUE)
    .returning(PROFILES.c.create_time, PROFILES.c.update_time)
)
_DELETE_OF_SAGA = Untyped(
    delete(PROFILES).where(PROFILES.c.saga_id == bindparam("saga_id")).returning(PROFILES.c.user_id)
)
_SAGA_OF_USER = Untyped(select(PROFILES.c.saga_id).where(_OF_USER))
_DELETE_OF_USER = Untyped(delete(PROFILES).where(_OF_USER))
_DELETE_REQUESTS_OF_USER = Untyped(
    delete(IDEMPOTENCY).where(
        or_(
            IDEMPOTENCY.c.scope == literal("user:") + bindparam("user_id", type_=Text),
            IDEMPOTENCY.c.reply["user_id"].astext == bindparam("user_id", type_=Text),
        )
    )
)
_IS_FORGOTTEN = Untyped(
    select(
        exists()
        .where(SAGA_BARRIERS.c.saga_id == bindparam("user_id"), SAGA_BARRIERS.c.branch == FORGOTTEN)
        .label("found")
    )
)
_GET = Untyped(_WITH_BRAND.where(_OF_USER))
_LOCK = Untyped(_WITH_BRAND.where(_OF_USER).with_for_update(of=PROFILES))
_UPDATE = Untyped(
    update(PROFILES)
    .where(_OF_USER)
    .values({name: bindparam(f"new_{name}") for name in _EDITABLE_FIELDS} | _CHANGED)
)
_SET_STATUS = Untyped(
    update(PROFILES)
    .where(_OF_USER, PROFILES.c.status_version < bindparam("version"))
    .values({"status": bindparam("new_status"), "status_version": bindparam("version")} | _CHANGED)
)
_EXISTS = Untyped(select(exists().where(_OF_USER).label("found")))
_PHONE_EXISTS = Untyped(
    select(exists().where(PROFILES.c.phone_number == bindparam("phone_number")).label("found"))
)
_PAGE = (
    _WITH_BRAND.where(
        tuple_(PROFILES.c.create_time, PROFILES.c.id)
        < tuple_(bindparam("before_time"), bindparam("before_id"))
    )
    .order_by(PROFILES.c.create_time.desc(), PROFILES.c.id.desc())
    .limit(bindparam("limit"))
)
_LIST = Untyped(_PAGE)
_LIST_OF_STATUS = Untyped(_PAGE.where(PROFILES.c.status == bindparam("status")))


async def insert_new(tx: Transaction, new: NewProfile, *, saga_id: UUID) -> Profile:
    """Insert a profile; waits for another one with the same phone number to end.

    Raises:
        PhoneTaken: Nothing was inserted, and the transaction goes on.
        IllegalState: The user has a profile of another saga; the transaction is over.
    """
    values: dict[str, Any] = {
        "id": new_id(),
        "user_id": new.user_id,
        "status": new.status,
        "first_name": new.first_name,
        "last_name": new.last_name,
        "display_name": display_name(new.first_name, new.last_name),
        "phone_number": new.phone_number,
        "address": new.address,
        "course": new.course,
    }
    try:
        row = await tx.first(_INSERT, saga_id=saga_id, **values)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == USER_IS_UNIQUE:
            raise IllegalState("This user has a profile already.") from error
        raise
    if row is None:
        raise PhoneTaken
    return Profile(
        **values,
        bio=None,
        avatar_url=None,
        revision=1,
        create_time=row.create_time,
        update_time=row.update_time,
    )


async def get(reader: Reader, user_id: UUID) -> Profile | None:
    """Return a user's profile with its brand, or None."""
    return _profile(await reader.first(_GET, user_id=user_id))


async def lock(tx: Transaction, user_id: UUID) -> Profile | None:
    """Return a user's profile and keep others from changing it, or None."""
    return _profile(await tx.first(_LOCK, user_id=user_id))


async def update_locked(tx: Transaction, profile: Profile) -> Profile:
    """Write a profile that was read by `lock`, and return it with its new etag.

    Raises:
        PhoneTaken: Another profile has the number; the transaction is over.
    """
    values = {f"new_{name}": getattr(profile, name) for name in _EDITABLE_FIELDS}
    try:
        await tx.execute(_UPDATE, user_id=profile.user_id, **values)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == PHONE_IS_UNIQUE:
            raise PhoneTaken from error
        raise
    updated = await get(tx, profile.user_id)
    assert updated is not None
    return updated


async def set_status(tx: Transaction, user_id: UUID, *, status: str, version: int) -> bool:
    """Set the status unless the version is an old one; return whether there is a profile."""
    changed = await tx.execute(_SET_STATUS, user_id=user_id, new_status=status, version=version)
    if changed:
        return True
    return await _found(tx, _EXISTS, user_id=user_id)


async def list_newest(
    reader: Reader, *, status: str | None, before: tuple[datetime, UUID], limit: int
) -> list[Profile]:
    """Return profiles, the newest first, from a position on."""
    page = {"before_time": before[0], "before_id": before[1], "limit": limit}
    if status is None:
        rows = await reader.all(_LIST, **page)
    else:
        rows = await reader.all(_LIST_OF_STATUS, status=status, **page)
    return [_of_row(row) for row in rows]


async def phone_exists(reader: Reader, phone_number: str) -> bool:
    """Say whether a profile has this phone number."""
    return await _found(reader, _PHONE_EXISTS, phone_number=phone_number)


async def is_forgotten(tx: Transaction, user_id: UUID) -> bool:
    """Say whether a user's profile was erased because the account is deleted."""
    return await _found(tx, _IS_FORGOTTEN, user_id=user_id)


async def delete_of_saga(tx: Transaction, saga_id: UUID) -> UUID | None:
    """Delete the profile that a saga made, with its brand; return whose it was, or None."""
    row = await tx.first(_DELETE_OF_SAGA, saga_id=saga_id)
    return row.user_id if row is not None else None


async def saga_of(tx: Transaction, user_id: UUID) -> UUID | None:
    """Return the saga that made a user's profile; None without profile or saga."""
    row = await tx.first(_SAGA_OF_USER, user_id=user_id)
    return row.saga_id if row is not None else None


async def delete_of_user(tx: Transaction, user_id: UUID) -> None:
    """Delete a user's profile with its brand, and the replies kept for and about the user."""
    await tx.execute(_DELETE_OF_USER, user_id=user_id)
    await tx.execute(_DELETE_REQUESTS_OF_USER, user_id=str(user_id))


async def _found(reader: Reader, statement: Untyped, **parameters: Any) -> bool:
    row = await reader.first(statement, **parameters)
    return row is not None and bool(row.found)


def _profile(row: Row | None) -> Profile | None:
    return None if row is None else _of_row(row)


def _of_row(row: Row) -> Profile:
    brand = None
    if row.brand_id is not None:
        brand = Brand(**{name: getattr(row, f"brand_{name}") for name in _BRAND_FIELDS})
    return Profile(**{name: getattr(row, name) for name in _PROFILE_FIELDS}, brand=brand)
