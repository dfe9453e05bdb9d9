"""Take the cart of a guest into the cart of the user who has logged in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.commerce.errors import ProductNotFound, QuantityLimit
from services.commerce.model import LINES_MAX, QUANTITY_MAX, Cart
from services.commerce.store import carts, products, users
from services.kernel.db.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class GuestLine:
    """A line of the cart of a guest."""

    product_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class MergedCart:
    """A cart with the lines of a guest, and why others were left out.

    Attributes:
        skipped: The reason for each product that was not taken.
    """

    cart: Cart
    skipped: dict[UUID, str]


@dataclass(frozen=True, slots=True)
class MergeCart:
    """Merges carts."""

    database: Database

    async def __call__(self, *, user_id: UUID, lines: Sequence[GuestLine]) -> MergedCart:
        """Make each line the larger of both quantities; a repeat changes nothing.

        Raises:
            SessionEnded: The user's account was deleted.
        """

        async def merge(tx: Transaction) -> MergedCart:
            await users.lock(tx, user_id)
            skipped = await _merge(tx, user_id, lines)
            return MergedCart(await carts.get(tx, user_id), skipped)

        return await self.database.transact("MergeCart", merge)


async def _merge(tx: Transaction, user_id: UUID, lines: Sequence[GuestLine]) -> dict[UUID, str]:
    """Merge the lines into the cart of a locked user; return why some were skipped."""
    known = await products.get_many(tx, [each.product_id for each in lines])
    cart = await carts.get(tx, user_id)
    quantities = {each.product.id: each.quantity for each in cart.lines}
    skipped = dict[UUID, str]()
    for line in lines:
        held = quantities.get(line.product_id)
        if line.product_id not in known:
            skipped[line.product_id] = ProductNotFound.reason
        elif line.quantity > QUANTITY_MAX or (held is None and len(quantities) >= LINES_MAX):
            skipped[line.product_id] = QuantityLimit.reason
        elif held is None:
            # Each line counts a change, so that each has a place of its own.
            await carts.add(tx, user_id=user_id, product_id=line.product_id, quantity=line.quantity)
            quantities[line.product_id] = line.quantity
        elif line.quantity > held:
            await carts.set_quantity(
                tx, user_id=user_id, product_id=line.product_id, quantity=line.quantity
            )
    return skipped
