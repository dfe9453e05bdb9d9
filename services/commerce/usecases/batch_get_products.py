"""Get several products at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import Product
from services.commerce.store import products
from services.kernel.db.database import Reader


@dataclass(frozen=True, slots=True)
class BatchGetProducts:
    """Gets products; what is not in the catalog is left out."""

    reader: Reader

    async def __call__(self, *, product_ids: Sequence[UUID]) -> list[Product]:
        """Return the products that are there, each once, in this order."""
        found = await products.get_many(self.reader, product_ids)
        return [found[each] for each in dict.fromkeys(product_ids) if each in found]
