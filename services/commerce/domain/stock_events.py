"""Events about stock: that nothing of a product is left, or something is again.

What an order that is being paid has reserved may come back, so it is still left. With it,
what is left changes by final decisions alone: a payment, a change of the stock, a cancellation,
a return. A checkout that fails changes nothing. Each decision holds the lock of the product
until its commit, so exactly one of them takes the last piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.commerce import events
from services.commerce.store import stock
from services.commerce.store.products import StockChange
from services.kernel.db.database import Transaction
from services.kernel.events.writer import Fact


async def stock_facts(tx: Transaction, changes: Mapping[UUID, StockChange]) -> list[Fact]:
    """Return an event for each product that has sold out, or is in stock again.

    Args:
        tx: The transaction of the changes, which are final.
        changes: The changes of products that are locked.
    """
    turned = {
        product_id: change.after > 0
        for product_id, change in changes.items()
        if (change.before > 0) != (change.after > 0)
    }
    if not turned:
        return []
    reserved = await stock.reserved(tx, list(turned))
    return [
        events.product_stock_back(product_id) if is_left else events.product_stock_out(product_id)
        for product_id, is_left in turned.items()
        if product_id not in reserved
    ]
