"""Get the caller's cart."""

from __future__ import annotations

from uuid import UUID

from services.commerce.model import Cart
from services.commerce.store import carts
from services.kernel.db.database import Database


class GetCart:
    """Gets carts."""

    def __init__(self, database: Database) -> None:
        """Read there."""
        self._database = database

    async def __call__(self, *, user_id: UUID) -> Cart:
        """Return the user's cart; an empty one when there is none."""
        return await carts.get(self._database, user_id)
