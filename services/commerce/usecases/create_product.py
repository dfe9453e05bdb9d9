"""Create a product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pydantic import TypeAdapter

from services.commerce import events
from services.commerce.domain.list_memory import ListMemory
from services.commerce.domain.products import Seller
from services.commerce.model import Product, ProductFields
from services.commerce.store import products, users
from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import tell
from services.kernel.ids import new_id
from services.kernel.rpc.call import Origin
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.requests import transact_once

_CODEC = TypeAdapter(Product)


@dataclass(frozen=True, slots=True)
class CreateProduct:
    """Creates products: first-party ones and those of brands."""

    database: Database
    memory: ListMemory

    async def __call__(
        self, *, seller: Seller, fields: ProductFields, origin: Origin, key: RequestKey | None
    ) -> Product:
        """Create a product and return it.

        Raises:
            CategoryNotFound: There is no such category.
            SessionEnded: The seller's account was deleted.
        """
        lock = partial(users.lock, user_id=seller.user_id)

        async def insert(tx: Transaction) -> Product:
            product = await products.insert_product(
                tx, product_id=new_id(), seller_id=seller.seller_id, fields=fields
            )
            await log.write(
                tx,
                "product_created",
                {"product": str(product.id), "new_price": product.price},
                user_id=product.seller_id,
                **log.by(origin),
            )
            await tell(tx, events.product_created(product.id, seller_id=product.seller_id))
            return product

        created = await transact_once(
            self.database, "CreateProduct", key, insert, _CODEC, lock=lock
        )
        self.memory.clear()
        return created
