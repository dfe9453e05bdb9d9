"""The SQL that takes many lines into a cart at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Uuid, bindparam, column, func, select, true
from sqlalchemy.dialects.postgresql import insert

from services.commerce.model import CART_ITEMS, CARTS, PRODUCTS
from services.commerce.store.carts import CHANGED
from services.kernel.db.database import Transaction
from services.kernel.db.statement import NoRow, Statement


@dataclass(frozen=True, slots=True)
class LargerQuantities:
    """Products and the quantities that their lines get, unless they have larger ones."""

    user_id: UUID
    product_ids: list[UUID]
    quantities: list[int]


_USER = bindparam("user_id", type_=Uuid)
_PRODUCTS = bindparam("product_ids", type_=ARRAY(Uuid))
_count = func.cardinality(_PRODUCTS)
_given = (
    func.unnest(_PRODUCTS, bindparam("quantities", type_=ARRAY(Integer)))
    .table_valued(
        column("product_id", Uuid),
        column("quantity", Integer),
        with_ordinality="place",
        name="given",
    )
    .render_derived()
)
# Each line counts a change of the cart, so that each new one has a place of its own.
_new_cart = insert(CARTS).values(user_id=_USER, version=_count)
_version = CARTS.c.version + _new_cart.excluded.version
_cart = (
    _new_cart.on_conflict_do_update(constraint="pk_carts", set_=CHANGED | {"version": _version})
    .returning(CARTS.c.version)
    .cte("cart")
)
_new_lines = insert(CART_ITEMS).from_select(
    ["user_id", "product_id", "position", "quantity", "known_price"],
    select(
        _USER,
        PRODUCTS.c.id,
        _cart.c.version - _count + _given.c.place,
        _given.c.quantity,
        PRODUCTS.c.price,
    )
    .join_from(_given, PRODUCTS, PRODUCTS.c.id == _given.c.product_id)
    .join(_cart, true()),
)
_RAISE = Statement(
    _new_lines.on_conflict_do_update(
        constraint="pk_cart_items",
        set_={
            "quantity": _new_lines.excluded.quantity,
            "known_price": _new_lines.excluded.known_price,
        },
        where=CART_ITEMS.c.quantity < _new_lines.excluded.quantity,
    ),
    LargerQuantities,
    NoRow,
)


async def raise_lines(tx: Transaction, user_id: UUID, quantities: Mapping[UUID, int]) -> None:
    """Raise lines of a locked user's cart to quantities, and append those that it does not have.

    The new ones come in the order given. A raised line accepts the current price. The caller
    holds the limits of carts.
    """
    wanted = LargerQuantities(user_id, list(quantities), list(quantities.values()))
    await tx.execute(_RAISE, wanted)
