"""Take the cart of a guest into the cart of the user who has logged in."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.commerce.errors import ProductNotFound, QuantityLimit
from services.commerce.model import LINES_MAX, QUANTITY_MAX, Cart
from services.commerce.store import cart_merges, carts, products, users
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
            known = await products.get_many(tx, [each.product_id for each in lines])
            cart = await carts.get(tx, user_id)
            raised, skipped = _decided(lines, known, cart)
            if raised:
                await cart_merges.raise_lines(tx, user_id, raised)
                cart = await carts.get(tx, user_id)
            return MergedCart(cart, skipped)

        return await self.database.transact("MergeCart", merge)


def _decided(
    lines: Sequence[GuestLine], known: Container[UUID], cart: Cart
) -> tuple[dict[UUID, int], dict[UUID, str]]:
    """Return the quantities that lines of the cart get, and why other lines are skipped."""
    quantities = {each.product.id: each.quantity for each in cart.lines}
    raised, skipped = dict[UUID, int](), dict[UUID, str]()
    for line in lines:
        held = quantities.get(line.product_id, 0)
        if line.product_id not in known:
            skipped[line.product_id] = ProductNotFound.reason
        elif line.quantity > QUANTITY_MAX or (not held and len(quantities) >= LINES_MAX):
            skipped[line.product_id] = QuantityLimit.reason
        elif line.quantity > held:
            raised[line.product_id] = quantities[line.product_id] = line.quantity
    return raised, skipped
