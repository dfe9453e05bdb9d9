"""Change a brand, for its owner alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import Forbidden
from services.kernel.events.writer import tell
from services.kernel.rpc.call import UserPrincipal
from services.profile import events
from services.profile.errors import BrandNotFound
from services.profile.model import Brand
from services.profile.store import brands, profiles


@dataclass(frozen=True, slots=True)
class UpdateBrand:
    """Change some fields of a brand."""

    database: Database

    async def __call__(
        self, *, caller: UserPrincipal, brand_id: UUID, changes: Mapping[str, Any]
    ) -> Brand:
        """Change a brand and return it.

        Raises:
            BrandNotFound: There is no brand with this id.
            Forbidden: The brand is another user's.
        """

        async def update(tx: Transaction) -> Brand:
            # The profile first: a deletion locks it before its brand, too.
            await profiles.lock(tx, caller.id)
            brand = await brands.lock(tx, brand_id)
            if brand is None:
                raise BrandNotFound
            if brand.owner_id != caller.id:
                raise Forbidden
            changed = replace(brand, **changes)
            if changed != brand:
                await brands.update_locked(tx, changed)
                await tell(tx, events.brand_changed(brand_id, fields=changes))
            return changed

        return await self.database.transact("UpdateBrand", update)
