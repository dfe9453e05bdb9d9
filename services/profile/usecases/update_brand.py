"""Change a brand: only its owner may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import Forbidden
from services.kernel.rpc.call import UserPrincipal
from services.profile.errors import BrandNotFound
from services.profile.model import Brand
from services.profile.store import brands


class UpdateBrand:
    """Changes some fields of brands."""

    def __init__(self, database: Database) -> None:
        """Change them there."""
        self._database = database

    async def __call__(
        self, *, caller: UserPrincipal, brand_id: UUID, changes: Mapping[str, Any]
    ) -> Brand:
        """Change a brand and return it.

        Raises:
            BrandNotFound: There is none.
            Forbidden: It belongs to somebody else.
        """

        async def update(tx: Transaction) -> Brand:
            brand = await brands.lock(tx, brand_id)
            if brand is None:
                raise BrandNotFound
            if brand.owner_id != caller.id:
                raise Forbidden
            changed = replace(brand, **changes)
            if changed != brand:
                await brands.update_locked(tx, changed)
            return changed

        return await self._database.transact("UpdateBrand", update)
