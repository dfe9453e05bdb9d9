"""Take a product out of the caller's cart."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import Cart
from services.commerce.store import carts, users
from services.kernel.db.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class RemoveCartItem:
    """Removes lines of carts."""

    database: Database

    async def __call__(self, *, user_id: UUID, product_id: UUID) -> Cart:
        """Remove the line and return the cart.

        Raises:
            CartNotFound, CartItemNotFound: There is no cart, or no such line.
            SessionEnded: The user's account was deleted.
        """

        async def remove(tx: Transaction) -> Cart:
            await users.lock(tx, user_id)
            return await carts.set_quantity(tx, user_id=user_id, product_id=product_id, quantity=0)

        return await self.database.transact("RemoveCartItem", remove)
