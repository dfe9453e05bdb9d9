"""Create many products, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from services.commerce.domain.products import ProductDraft, check
from services.commerce.domain.totals import Totals
from services.commerce.model import Product, ProductFields
from services.commerce.store import products
from services.kernel.db.database import Database, Transaction
from services.kernel.ids import new_id
from services.kernel.sagas import idempotency
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.validation import Violations

PRODUCTS_MAX = 1000

_CODEC = TypeAdapter(list[Product])


@dataclass(frozen=True, slots=True)
class BatchCreateProducts:
    """Creates products of the house."""

    database: Database
    totals: Totals

    async def __call__(
        self, *, drafts: Sequence[ProductDraft], key: RequestKey | None
    ) -> list[Product]:
        """Create products and return them in this order.

        Raises:
            InvalidField: With every wrong field of every product.
            CategoryNotFound: One of the categories does not exist; nothing was created.
        """
        fields = _checked(drafts)

        async def insert(tx: Transaction) -> list[Product]:
            return await products.insert_products(tx, [new_id() for _ in fields], fields)

        created = await idempotency.once(self.database, "BatchCreateProducts", key, insert, _CODEC)
        self.totals.clear()
        return created


def _checked(drafts: Sequence[ProductDraft]) -> list[ProductFields]:
    v = Violations()
    if not 1 <= len(drafts) <= PRODUCTS_MAX:
        v.add("products", f"must be 1 to {PRODUCTS_MAX} products")
        v.raise_any()
    checked = [check(v, draft, f"products[{i}].") for i, draft in enumerate(drafts)]
    v.raise_any()
    return [fields for fields in checked if fields is not None]
