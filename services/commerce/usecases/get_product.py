"""Get a product."""

from __future__ import annotations

from dataclasses import dataclass

from services.commerce.errors import ProductNotFound
from services.commerce.model import Product
from services.commerce.store import products
from services.kernel.db.database import Database
from services.kernel.ids import parse_id


@dataclass(frozen=True, slots=True)
class GetProduct:
    """Gets products."""

    database: Database

    async def __call__(self, *, product_id: str) -> Product:
        """Return a product.

        Raises:
            ProductNotFound: There is none, or it has left the catalog.
        """
        product = await products.get(self.database, parse_id(product_id, field="product_id"))
        if product is None:
            raise ProductNotFound
        return product
