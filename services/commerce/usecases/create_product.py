"""Create a product."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from services.commerce.domain.products import ProductDraft, check, seller_of
from services.commerce.domain.totals import Totals
from services.commerce.model import Product
from services.commerce.store import products, users
from services.kernel.db.database import Database, Transaction
from services.kernel.ids import new_id
from services.kernel.rpc.call import UserPrincipal
from services.kernel.sagas import idempotency
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.validation import Violations

_CODEC = TypeAdapter(Product)


@dataclass(frozen=True, slots=True)
class CreateProduct:
    """Creates products of the house, and of brands."""

    database: Database
    totals: Totals

    async def __call__(
        self, *, caller: UserPrincipal, draft: ProductDraft, key: RequestKey | None
    ) -> Product:
        """Create a product and return it.

        Raises:
            Forbidden: The caller is neither an administrator nor a brand.
            InvalidField: With every wrong field.
            CategoryNotFound: There is no such category.
            SessionEnded: The caller's account was deleted.
        """
        seller_id = seller_of(caller)
        v = Violations()
        fields = check(v, draft, "product.")
        v.raise_any()
        assert fields is not None

        async def insert(tx: Transaction) -> Product:
            await users.ensure_known(tx, caller.id)
            return await products.insert_product(
                tx, product_id=new_id(), seller_id=seller_id, fields=fields
            )

        created = await idempotency.once(self.database, "CreateProduct", key, insert, _CODEC)
        self.totals.clear()
        return created
