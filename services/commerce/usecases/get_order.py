"""Get an order: the caller's own, or any for an administrator."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.errors import OrderNotFound
from services.commerce.model import Order
from services.commerce.store import orders
from services.kernel.db.database import Database
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class GetOrder:
    """Gets orders."""

    database: Database

    async def __call__(self, *, caller: Caller, order_id: UUID) -> Order:
        """Return an order.

        Raises:
            OrderNotFound: There is no such order, or it is another user's and the caller is
                not an administrator: who may not see it does not learn that it exists.
        """
        order = await orders.get(self.database, order_id)
        if order is None or not (caller.acts_for_all or order.user_id == caller.own_id):
            raise OrderNotFound
        return order
