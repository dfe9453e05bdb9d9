"""The SQL of brands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, insert, select, update

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.ids import new_id
from services.profile.model import BRANDS, PROFILES, Brand, NewBrand, OwnedBrand


@dataclass(frozen=True, slots=True)
class _ByBrand:
    id: UUID


@dataclass(frozen=True, slots=True)
class _ByUsers:
    user_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class _BrandInsert:
    id: UUID
    profile_id: UUID
    name: str
    company_size: str | None
    user_role: str | None


_COLUMNS = [BRANDS.c[field.name] for field in fields(Brand)]
_BY_ID = BRANDS.c.id == bindparam("id")

_INSERT = Statement(
    insert(BRANDS).values({each.name: bindparam(each.name) for each in fields(_BrandInsert)}),
    _BrandInsert,
    NoRow,
)
_GET = Statement(select(*_COLUMNS).where(_BY_ID), _ByBrand, Brand)
_OF_USERS = Statement(
    select(*_COLUMNS, PROFILES.c.user_id.label("owner_id"))
    .join_from(BRANDS, PROFILES, PROFILES.c.id == BRANDS.c.profile_id)
    .where(PROFILES.c.user_id == func.any(bindparam("user_ids", type_=ARRAY(Uuid)))),
    _ByUsers,
    OwnedBrand,
)
_LOCK = Statement(
    select(*_COLUMNS, PROFILES.c.user_id.label("owner_id"))
    .select_from(BRANDS.outerjoin(PROFILES, PROFILES.c.id == BRANDS.c.profile_id))
    .where(_BY_ID)
    .with_for_update(of=BRANDS),
    _ByBrand,
    OwnedBrand,
)
_UPDATE = Statement(
    update(BRANDS)
    .where(_BY_ID)
    .values(
        {column: bindparam(column.name) for column in _COLUMNS if column is not BRANDS.c.id}
        | {BRANDS.c.update_time: func.clock_timestamp()}
    ),
    Brand,
    NoRow,
)
# A profile shows its brand, so its etag changes with it.
_TOUCH_PROFILE = Statement(
    update(PROFILES)
    .where(PROFILES.c.id == select(BRANDS.c.profile_id).where(_BY_ID).scalar_subquery())
    .values(revision=PROFILES.c.revision + 1, update_time=func.clock_timestamp()),
    _ByBrand,
    NoRow,
)


async def insert_new(tx: Transaction, new: NewBrand, *, profile_id: UUID) -> Brand:
    """Insert the brand of a profile."""
    brand = Brand(
        id=new_id(), name=new.name, company_size=new.company_size, user_role=new.user_role
    )
    await tx.execute(
        _INSERT,
        _BrandInsert(
            id=brand.id,
            profile_id=profile_id,
            name=new.name,
            company_size=new.company_size,
            user_role=new.user_role,
        ),
    )
    return brand


async def get(reader: Reader, brand_id: UUID) -> Brand | None:
    """Return a brand, or None."""
    return await reader.first(_GET, _ByBrand(brand_id))


async def of_users(reader: Reader, user_ids: Sequence[UUID]) -> list[OwnedBrand]:
    """Return the brands of users, in any order."""
    return await reader.all(_OF_USERS, _ByUsers(list(user_ids)))


async def lock(tx: Transaction, brand_id: UUID) -> OwnedBrand | None:
    """Return a brand with its owner and keep others from changing it, or None."""
    return await tx.first(_LOCK, _ByBrand(brand_id))


async def update_locked(tx: Transaction, brand: Brand) -> None:
    """Write a brand that was read by `lock`."""
    await tx.execute(_UPDATE, brand)
    await tx.execute(_TOUCH_PROFILE, _ByBrand(brand.id))
