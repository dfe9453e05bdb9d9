"""Get a product."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.errors import ProductNotFound
from services.commerce.model import Product
from services.commerce.store import products
from services.kernel.db.database import Reader


@dataclass(frozen=True, slots=True)
class GetProduct:
    """Gets products."""

    reader: Reader

    async def __call__(self, *, product_id: UUID) -> Product:
        """Return a product.

        Raises:
            ProductNotFound: There is no such product, or it has left the catalog.
        """
        product = await products.get(self.reader, product_id)
        if product is None:
            raise ProductNotFound
        return product
