"""Set the quantity of a product in the caller's cart."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.errors import QuantityLimit
from services.commerce.model import QUANTITY_MAX, Cart
from services.commerce.store import carts
from services.commerce.validation import checked_id
from services.kernel.db.database import Database, Transaction
from services.kernel.validation import Violations


@dataclass(frozen=True, slots=True)
class UpdateCartItem:
    """Changes lines of carts."""

    database: Database

    async def __call__(self, *, user_id: UUID, product_id: str, quantity: int | None) -> Cart:
        """Set the quantity, or remove the line when it is 0, and return the cart.

        Raises:
            InvalidField: With every wrong field.
            CartNotFound, CartItemNotFound: There is none.
            QuantityLimit: The quantity is above the limit.
        """
        v = Violations()
        wanted = checked_id(v, product_id, "product_id")
        if quantity is None:
            v.add("quantity", "is required")
        elif quantity < 0:
            v.add("quantity", "must not be negative; 0 removes the product")
        v.raise_any()
        assert wanted is not None
        assert quantity is not None
        if quantity > QUANTITY_MAX:
            raise QuantityLimit(f"A cart holds at most {QUANTITY_MAX} of a product.")

        async def change(tx: Transaction) -> Cart:
            await carts.set_quantity(tx, user_id=user_id, product_id=wanted, quantity=quantity)
            return await carts.get(tx, user_id)

        return await self.database.transact("UpdateCartItem", change)
