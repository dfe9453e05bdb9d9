"""Take a product out of the catalog."""

from __future__ import annotations

from dataclasses import dataclass

from services.commerce.domain.products import ensure_may_change, seller_of
from services.commerce.domain.totals import Totals
from services.commerce.errors import ProductNotFound
from services.commerce.store import products, users
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import EtagMismatch
from services.kernel.ids import parse_id
from services.kernel.rpc.call import UserPrincipal


@dataclass(frozen=True, slots=True)
class DeleteProduct:
    """Deletes products, softly: carts show it as a problem, orders keep it."""

    database: Database
    totals: Totals

    async def __call__(self, *, caller: UserPrincipal, product_id: str, etag: str) -> None:
        """Delete a product.

        Raises:
            ProductNotFound: There is none, or it was deleted before.
            Forbidden: It is not the caller's.
            EtagMismatch: It no longer has this etag.
            SessionEnded: The caller's account was deleted.
        """
        seller_of(caller)
        wanted = parse_id(product_id, field="product_id")

        async def delete(tx: Transaction) -> None:
            await users.ensure_known(tx, caller.id)
            product = await products.lock(tx, wanted)
            if product is None:
                raise ProductNotFound
            ensure_may_change(caller, product)
            if etag and etag != product.etag:
                raise EtagMismatch
            await products.delete_product(tx, wanted)

        await self.database.transact("DeleteProduct", delete)
        self.totals.clear()
