"""Stocks: changes by a number, with their reasons, and what is left of products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Uuid,
    bindparam,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)

from services.commerce.model import (
    IS_PENDING,
    ORDER_ITEMS,
    ORDERS,
    PRODUCTS,
    STOCK_ADJUSTMENTS,
    STOCK_MAX,
    Product,
)
from services.commerce.store import products
from services.commerce.store.products import ByProducts
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class StockDelta:
    """A product and the number by which its stock changes."""

    product_id: UUID
    delta: int


@dataclass(frozen=True, slots=True)
class NewAdjustment:
    """A change of a stock to keep."""

    id: UUID
    product_id: UUID
    delta: int
    stock: int
    reason: str


@dataclass(frozen=True, slots=True)
class _ReservedProduct:
    product_id: UUID


_BY_ID = PRODUCTS.c.id == bindparam("product_id", type_=Uuid)
_DELTA = bindparam("delta", type_=Integer)
_STOCK_AFTER = cast(PRODUCTS.c.stock, BigInteger) + _DELTA
# Moves of the stock are no changes of the product: they leave its version alone, so that a
# product that sells well can be changed.
_ADJUST = Statement(
    update(PRODUCTS)
    .where(_BY_ID, _STOCK_AFTER >= 0, or_(_DELTA < 0, _STOCK_AFTER <= STOCK_MAX))
    .values(stock=PRODUCTS.c.stock + _DELTA),
    StockDelta,
    NoRow,
)
_NOTE = Statement(
    insert(STOCK_ADJUSTMENTS).values(
        {each.name: bindparam(each.name) for each in fields_of(NewAdjustment)}
    ),
    NewAdjustment,
    NoRow,
)

_IDS = func.any(bindparam("product_ids", type_=ARRAY(Uuid)))
# The orders that are being paid are few, so they are looked through, and not those of a product.
_PENDING = select(ORDERS.c.id).where(IS_PENDING).cte("pending").prefix_with("MATERIALIZED")
_RESERVED = Statement(
    select(ORDER_ITEMS.c.product_id)
    .join(_PENDING, _PENDING.c.id == ORDER_ITEMS.c.order_id)
    .where(ORDER_ITEMS.c.product_id == _IDS),
    ByProducts,
    _ReservedProduct,
)


async def adjust_stock(tx: Transaction, product_id: UUID, delta: int) -> Product | None:
    """Change the stock of a product that is locked; None when it would leave its bounds."""
    if not await tx.execute(_ADJUST, StockDelta(product_id, delta)):
        return None
    return await products.get(tx, product_id)


async def note_adjustment(tx: Transaction, product: Product, *, delta: int, reason: str) -> None:
    """Keep the reason of a change of the stock, and the stock after it."""
    await tx.execute(_NOTE, NewAdjustment(new_id(), product.id, delta, product.stock, reason))


async def reserved(reader: Reader, product_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of some products of which an order that is being paid has something.

    The products are locked by an earlier statement, so that no order is decided meanwhile.
    """
    return {row.product_id for row in await reader.all(_RESERVED, ByProducts(list(product_ids)))}
