"""Take a product out of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce import events
from services.commerce.domain.list_memory import ListMemory
from services.commerce.domain.products import Seller
from services.commerce.store import images, products, users
from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import tell
from services.kernel.rpc.call import Origin


@dataclass(frozen=True, slots=True)
class DeleteProduct:
    """Deletes products softly: carts show them as a problem, orders keep them."""

    database: Database
    memory: ListMemory

    async def __call__(
        self, *, seller: Seller, product_id: UUID, origin: Origin, etag: str
    ) -> None:
        """Delete a product.

        Raises:
            ProductNotFound: There is no such product, or it was deleted before.
            Forbidden: It belongs to another seller.
            EtagMismatch: It no longer has this etag.
            SessionEnded: The seller's account was deleted.
        """

        async def delete(tx: Transaction) -> None:
            await users.lock(tx, seller.user_id)
            product = seller.changeable(await products.lock(tx, product_id), etag)
            await images.delete_of_product(tx, product_id)
            await products.delete_product(tx, product_id)
            await tell(tx, events.product_deleted(product_id))
            await log.write(
                tx,
                "product_deleted",
                {"product": str(product_id), "old_price": product.price},
                user_id=product.seller_id,
                **log.by(origin),
            )

        await self.database.transact("DeleteProduct", delete)
        self.memory.clear()
