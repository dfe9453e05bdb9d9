"""The SQL of brands."""

from __future__ import annotations

from dataclasses import asdict, fields
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select, update

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.untyped import Row, Untyped
from services.kernel.ids import new_id
from services.profile.model import BRANDS, PROFILES, Brand, NewBrand

_FIELDS = [field.name for field in fields(Brand)]
_EDITABLE_FIELDS = [name for name in _FIELDS if name != "id"]
_BY_ID = BRANDS.c.id == bindparam("brand_id")

_INSERT = Untyped(
    insert(BRANDS).values(
        {
            name: bindparam(name)
            for name in ("id", "profile_id", "name", "company_size", "user_role")
        }
    )
)
_GET = Untyped(select(*(BRANDS.c[name] for name in _FIELDS)).where(_BY_ID))
_LOCK = Untyped(
    select(*(BRANDS.c[name] for name in _FIELDS), PROFILES.c.user_id)
    .select_from(BRANDS.outerjoin(PROFILES, PROFILES.c.id == BRANDS.c.profile_id))
    .where(_BY_ID)
    .with_for_update(of=BRANDS)
)
_UPDATE = Untyped(
    update(BRANDS)
    .where(_BY_ID)
    .values(
        {name: bindparam(f"new_{name}") for name in _EDITABLE_FIELDS}
        | {"update_time": func.clock_timestamp()}
    )
)


# A profile shows its brand, so its etag has to change with it.
_TOUCH_PROFILE = Untyped(
    update(PROFILES)
    .where(PROFILES.c.id == select(BRANDS.c.profile_id).where(_BY_ID).scalar_subquery())
    .values(revision=PROFILES.c.revision + 1, update_time=func.clock_timestamp())
)


async def insert_new(tx: Transaction, new: NewBrand, *, profile_id: UUID) -> Brand:
    """Insert the brand of a profile."""
    brand_id = new_id()
    await tx.execute(_INSERT, id=brand_id, profile_id=profile_id, **asdict(new))
    return Brand(id=brand_id, **asdict(new))


async def get(reader: Reader, brand_id: UUID) -> Brand | None:
    """Return a brand, or None."""
    row = await reader.first(_GET, brand_id=brand_id)
    return None if row is None else _of_row(row)


async def lock(tx: Transaction, brand_id: UUID) -> tuple[Brand, UUID | None] | None:
    """Return a brand and its owner's user id, and keep others from changing it, or None."""
    row = await tx.first(_LOCK, brand_id=brand_id)
    return None if row is None else (_of_row(row), row.user_id)


async def update_locked(tx: Transaction, brand: Brand) -> None:
    """Write a brand that was read by `lock`."""
    values = {f"new_{name}": getattr(brand, name) for name in _EDITABLE_FIELDS}
    await tx.execute(_UPDATE, brand_id=brand.id, **values)
    await tx.execute(_TOUCH_PROFILE, brand_id=brand.id)


def _of_row(row: Row) -> Brand:
    return Brand(**{name: getattr(row, name) for name in _FIELDS})
