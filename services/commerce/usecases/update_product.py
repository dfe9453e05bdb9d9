"""Change a product."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce import events
from services.commerce.domain.list_memory import ListMemory
from services.commerce.domain.pictures import ensure_web_url
from services.commerce.domain.products import ProductChanges, Seller
from services.commerce.domain.stock_events import stock_facts
from services.commerce.model import Product
from services.commerce.store import images, products, users
from services.commerce.store.products import StockChange
from services.kernel.audit import log
from services.kernel.audit.log import Fact
from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import tell
from services.kernel.rpc.call import Origin


@dataclass(frozen=True, slots=True)
class UpdateProduct:
    """Changes products: an administrator any, a brand its own."""

    database: Database
    memory: ListMemory

    async def __call__(
        self,
        *,
        seller: Seller,
        product_id: UUID,
        changes: ProductChanges,
        origin: Origin,
        etag: str,
    ) -> Product:
        """Change a product and return it.

        Args:
            seller: The caller.
            product_id: The product.
            changes: The new values.
            origin: The caller, for the audit log.
            etag: The etag that the product must still have, unless it is empty.

        Raises:
            ProductNotFound, CategoryNotFound: There is no such product or category.
            Forbidden: It belongs to another seller.
            EtagMismatch: It no longer has this etag.
            InvalidField: The picture's URL is the path of another picture.
            SessionEnded: The seller's account was deleted.
        """

        async def change(tx: Transaction) -> Product:
            await users.lock(tx, seller.user_id)
            product = seller.changeable(await products.lock(tx, product_id), etag)
            if not changes.names:
                return product
            fields = changes.applied_to(product)
            if fields.image_url != product.image_url:
                ensure_web_url(fields)
                await images.delete_of_product(tx, product.id)
            changed = await products.update_product(tx, product.id, fields)
            await _note(tx, product, changed, changes, origin)
            turned = {product_id: StockChange(product.stock, changed.stock)}
            fact = events.product_changed(product_id, fields=changes.names)
            await tell(tx, fact, *await stock_facts(tx, turned))
            return changed

        changed = await self.database.transact("UpdateProduct", change)
        self.memory.clear()
        return changed


async def _note(
    tx: Transaction, old: Product, new: Product, changes: ProductChanges, origin: Origin
) -> None:
    facts = {"product": str(old.id), "fields": ",".join(sorted(changes.names))}
    numbers = _numbers(old, new)
    await log.write(
        tx, "product_updated", {**facts, **numbers}, user_id=old.seller_id, **log.by(origin)
    )


def _numbers(old: Product, new: Product) -> dict[str, Fact]:
    """Return the old and the new price and stock, where they differ."""
    numbers: dict[str, Fact] = {}
    for name in ("price", "stock"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            numbers |= {f"old_{name}": before, f"new_{name}": after}
    return numbers
