"""Create many products, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from pydantic import TypeAdapter

from services.commerce import events
from services.commerce.domain.list_memory import ListMemory
from services.commerce.model import Product, ProductFields
from services.commerce.store import products, users
from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import tell
from services.kernel.ids import new_id
from services.kernel.rpc.call import Origin
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.requests import transact_once

_CODEC = TypeAdapter(list[Product])


@dataclass(frozen=True, slots=True)
class BatchCreateProducts:
    """Creates first-party products."""

    database: Database
    memory: ListMemory

    async def __call__(
        self,
        *,
        user_id: UUID | None,
        fields: Sequence[ProductFields],
        origin: Origin,
        key: RequestKey | None,
    ) -> list[Product]:
        """Create products and return them in this order.

        Raises:
            CategoryNotFound: One of the categories does not exist; nothing was created.
            SessionEnded: The administrator's account was deleted.
        """
        lock = partial(users.lock, user_id=user_id)

        async def insert(tx: Transaction) -> list[Product]:
            inserted = await products.insert_products(tx, [new_id() for _ in fields], fields)
            await log.write(
                tx,
                "products_created",
                {
                    "count": len(inserted),
                    "first": str(inserted[0].id),
                    "last": str(inserted[-1].id),
                },
                **log.by(origin),
            )
            facts = (events.product_created(each.id, seller_id=each.seller_id) for each in inserted)
            await tell(tx, *facts)
            return inserted

        created = await transact_once(
            self.database, "BatchCreateProducts", key, insert, _CODEC, lock=lock
        )
        self.memory.clear()
        return created
