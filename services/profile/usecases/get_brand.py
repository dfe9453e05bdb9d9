"""Get a brand."""

from __future__ import annotations

from uuid import UUID

from services.kernel.db.database import Database
from services.profile.errors import BrandNotFound
from services.profile.model import Brand
from services.profile.store import brands


class GetBrand:
    """Gets brands."""

    def __init__(self, database: Database) -> None:
        """Look there."""
        self._database = database

    async def __call__(self, *, brand_id: UUID) -> Brand:
        """Return a brand.

        Raises:
            BrandNotFound: There is none.
        """
        brand = await brands.get(self._database, brand_id)
        if brand is None:
            raise BrandNotFound
        return brand
