"""Set the quantity of a product in the caller's cart."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.errors import QuantityLimit
from services.commerce.model import QUANTITY_MAX, Cart
from services.commerce.store import carts, users
from services.kernel.db.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class UpdateCartItem:
    """Changes lines of carts."""

    database: Database

    async def __call__(self, *, user_id: UUID, product_id: UUID, quantity: int) -> Cart:
        """Set the quantity, or remove the line when it is 0, and return the cart.

        Raises:
            CartNotFound, CartItemNotFound: There is no cart, or no such line.
            QuantityLimit: The quantity is above the limit.
            SessionEnded: The user's account was deleted.
        """
        if quantity > QUANTITY_MAX:
            raise QuantityLimit

        async def change(tx: Transaction) -> Cart:
            await users.lock(tx, user_id)
            return await carts.set_quantity(
                tx, user_id=user_id, product_id=product_id, quantity=quantity
            )

        return await self.database.transact("UpdateCartItem", change)
