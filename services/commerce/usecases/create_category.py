"""Create a category."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from pydantic import TypeAdapter

from services.commerce.model import Category
from services.commerce.store import categories, users
from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.ids import new_id
from services.kernel.rpc.call import Origin
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.requests import transact_once

_CODEC = TypeAdapter(Category)


@dataclass(frozen=True, slots=True)
class CreateCategory:
    """Creates categories."""

    database: Database

    async def __call__(
        self,
        *,
        user_id: UUID | None,
        name: str,
        description: str,
        origin: Origin,
        key: RequestKey | None,
    ) -> Category:
        """Create a category and return it.

        Raises:
            CategoryNameTaken: A category has this name, whatever its case.
            SessionEnded: The administrator's account was deleted.
        """
        lock = partial(users.lock, user_id=user_id)

        async def insert(tx: Transaction) -> Category:
            category = await categories.insert_category(
                tx, category_id=new_id(), name=name, description=description
            )
            await log.write(
                tx, "category_created", {"category": str(category.id)}, **log.by(origin)
            )
            return category

        return await transact_once(self.database, "CreateCategory", key, insert, _CODEC, lock=lock)
