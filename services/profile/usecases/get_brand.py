"""Get a brand."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database
from services.profile.errors import BrandNotFound
from services.profile.model import Brand
from services.profile.store import brands


@dataclass(frozen=True, slots=True)
class GetBrand:
    """Get a brand, as everybody may see it."""

    database: Database

    async def __call__(self, *, brand_id: UUID) -> Brand:
        """Return a brand.

        Raises:
            BrandNotFound: There is no brand with this id.
        """
        brand = await brands.get(self.database, brand_id)
        if brand is None:
            raise BrandNotFound
        return brand
