"""Add a quantity of a product to the caller's cart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from pydantic import TypeAdapter

from services.commerce.errors import QuantityLimit
from services.commerce.model import QUANTITY_MAX, Cart
from services.commerce.store import carts, users
from services.kernel.db.database import Database, Transaction
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.requests import transact_once

_CODEC = TypeAdapter(Cart)


@dataclass(frozen=True, slots=True)
class AddCartItem:
    """Adds to carts; concurrent adds are all counted."""

    database: Database

    async def __call__(
        self, *, user_id: UUID, product_id: UUID, quantity: int, key: RequestKey | None
    ) -> Cart:
        """Add and return the cart.

        Raises:
            ProductNotFound: There is no such product, or it has left the catalog.
            QuantityLimit: The line or the cart would be above its limit.
            SessionEnded: The user's account was deleted.
        """
        if quantity > QUANTITY_MAX:
            raise QuantityLimit

        lock = partial(users.lock, user_id=user_id)

        async def add(tx: Transaction) -> Cart:
            return await carts.add(tx, user_id=user_id, product_id=product_id, quantity=quantity)

        return await transact_once(self.database, "AddCartItem", key, add, _CODEC, lock=lock)
