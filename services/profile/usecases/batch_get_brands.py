"""Get the brands of several users at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database
from services.profile.model import OwnedBrand
from services.profile.store import brands


@dataclass(frozen=True, slots=True)
class BatchGetBrands:
    """Gets brands, as everybody may see them; users without a brand are left out."""

    database: Database

    async def __call__(self, *, user_ids: Sequence[UUID]) -> list[OwnedBrand]:
        """Return the brands that are there, each once, in this order."""
        found = {each.owner_id: each for each in await brands.of_users(self.database, user_ids)}
        return [found[each] for each in dict.fromkeys(user_ids) if each in found]
