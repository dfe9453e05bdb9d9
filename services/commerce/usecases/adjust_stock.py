"""Add to the stock of a product, or take from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from pydantic import TypeAdapter

from services.commerce.domain.products import Seller
from services.commerce.domain.stock_events import stock_facts
from services.commerce.errors import NoStock
from services.commerce.model import STOCK_MAX, Product
from services.commerce.store import products, stock, users
from services.commerce.store.products import StockChange
from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import InvalidField, Violation
from services.kernel.events.writer import tell
from services.kernel.rpc.call import Origin
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.requests import transact_once

_CODEC = TypeAdapter(Product)


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """Changes stocks by a number, whatever is sold at the same time."""

    database: Database

    async def __call__(
        self,
        *,
        seller: Seller,
        product_id: UUID,
        delta: int,
        reason: str,
        origin: Origin,
        key: RequestKey | None,
    ) -> Product:
        """Change the stock, keep the reason, and return the product.

        Raises:
            ProductNotFound: There is no such product.
            Forbidden: It belongs to another seller.
            NoStock: There is less in stock than is to be taken.
            InvalidField: The stock would be above its limit.
            SessionEnded: The seller's account was deleted.
        """

        async def adjust(tx: Transaction) -> Product:
            product = seller.changeable(await products.lock(tx, product_id))
            adjusted = await stock.adjust_stock(tx, product_id, delta)
            if adjusted is not None:
                change = StockChange(product.stock, adjusted.stock)
                await tell(tx, *await stock_facts(tx, {product_id: change}))
                await stock.note_adjustment(tx, adjusted, delta=delta, reason=reason)
                await log.write(
                    tx,
                    "stock_adjusted",
                    {"product": str(product_id), "delta": delta, "new_stock": adjusted.stock},
                    user_id=product.seller_id,
                    **log.by(origin),
                )
                return adjusted
            if delta < 0:
                raise NoStock(product_id)
            raise InvalidField(Violation("delta", f"must leave a stock of at most {STOCK_MAX:,}"))

        lock = partial(users.lock, user_id=seller.user_id)
        return await transact_once(self.database, "AdjustStock", key, adjust, _CODEC, lock=lock)
