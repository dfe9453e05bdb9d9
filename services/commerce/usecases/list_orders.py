"""List orders, newest first: the caller's own, or any user's for an administrator."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import Order
from services.commerce.store import orders
from services.kernel.db.database import Database
from services.kernel.paging import PageRows, PageTokens
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class ListOrders:
    """Lists orders."""

    database: Database
    tokens: PageTokens

    async def __call__(
        self, *, caller: Caller, user_id: UUID, limit: int, token: str
    ) -> PageRows[Order]:
        """Return the orders of a page.

        Raises:
            InvalidField: The token is wrong.
            Forbidden: They are another user's, and the caller is not an administrator.
        """
        require_own(user_id, caller)
        listing = f"orders {user_id}"

        def token_after(order: Order) -> str:
            assert order.id is not None
            return self.tokens.after(order.create_time, order.id, listing=listing)

        before = self.tokens.newest_first(token, listing=listing)
        found = await orders.list_orders(self.database, user_id, before=before, limit=limit + 1)
        return PageRows(found, limit, token_after)
