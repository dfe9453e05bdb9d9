"""Change a product."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.domain.products import ProductChanges, Seller
from services.commerce.domain.totals import Totals
from services.commerce.errors import ProductNotFound
from services.commerce.model import Product
from services.commerce.store import products, users
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import EtagMismatch


@dataclass(frozen=True, slots=True)
class UpdateProduct:
    """Changes products: an administrator any, a brand its own."""

    database: Database
    totals: Totals

    async def __call__(
        self, *, seller: Seller, product_id: UUID, changes: ProductChanges, etag: str
    ) -> Product:
        """Change a product and return it.

        Args:
            seller: The caller.
            product_id: The product.
            changes: The new values.
            etag: The etag that the product must still have, unless it is empty.

        Raises:
            ProductNotFound, CategoryNotFound: There is no such product or category.
            Forbidden: It belongs to another seller.
            EtagMismatch: It no longer has this etag.
            SessionEnded: The seller's account was deleted.
        """

        async def change(tx: Transaction) -> Product:
            await users.lock(tx, seller.user_id)
            product = await products.lock(tx, product_id)
            if product is None:
                raise ProductNotFound
            seller.ensure_may_change(product)
            if etag and not product.is_unchanged_since(etag):
                raise EtagMismatch
            if not changes.names:
                return product
            return await products.update_product(tx, product.id, changes.applied_to(product))

        changed = await self.database.transact("UpdateProduct", change)
        self.totals.clear()
        return changed
