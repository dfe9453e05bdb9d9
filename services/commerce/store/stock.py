"""Changes of a stock by a number, and their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as fields_of
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Uuid, bindparam, cast, insert, or_, update

from services.commerce.model import PRODUCTS, STOCK_ADJUSTMENTS, STOCK_MAX, Product
from services.commerce.store import products
from services.kernel.db.database import Transaction
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


async def adjust_stock(tx: Transaction, product_id: UUID, delta: int) -> Product | None:
    """Change the stock of a product that is locked; None when it would leave its bounds."""
    if not await tx.execute(_ADJUST, StockDelta(product_id, delta)):
        return None
    return await products.get(tx, product_id)


async def note_adjustment(tx: Transaction, product: Product, *, delta: int, reason: str) -> None:
    """Keep the reason of a change of the stock, and the stock after it."""
    await tx.execute(_NOTE, NewAdjustment(new_id(), product.id, delta, product.stock, reason))
