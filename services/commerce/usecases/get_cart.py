"""Get the caller's cart."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import Cart
from services.commerce.store import carts
from services.kernel.db.database import Database


@dataclass(frozen=True, slots=True)
class GetCart:
    """Gets carts."""

    database: Database

    async def __call__(self, *, user_id: UUID) -> Cart:
        """Return the user's cart; an empty one when there is none."""
        return await carts.get(self.database, user_id)
