"""Take everything out of the caller's cart."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import Cart
from services.commerce.store import carts, users
from services.kernel.db.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class ClearCart:
    """Empties carts."""

    database: Database

    async def __call__(self, *, user_id: UUID) -> Cart:
        """Empty the cart, if there is one, and return it.

        Raises:
            SessionEnded: The user's account was deleted.
        """

        async def clear(tx: Transaction) -> Cart:
            await users.lock(tx, user_id)
            return await carts.clear(tx, user_id)

        return await self.database.transact("ClearCart", clear)
