"""List orders, newest first: the caller's own, or any user's for an administrator."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import Order
from services.commerce.store import orders
from services.kernel.db.database import Database
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import UserPrincipal


@dataclass(frozen=True, slots=True)
class ListOrders:
    """Lists orders."""

    database: Database
    tokens: PageTokens

    async def __call__(
        self, *, caller: UserPrincipal, user_id: UUID, limit: int, token: str
    ) -> tuple[list[Order], str]:
        """Return a page and the token of the next one, empty on the last.

        Raises:
            InvalidField: The token is wrong.
            Forbidden: They are another user's, and the caller is not an administrator.
        """
        require_own(user_id, caller)
        listing = f"orders {user_id}"
        before = self.tokens.newest_first(token, listing=listing)
        found = await orders.list_orders(self.database, user_id, before=before, limit=limit + 1)
        page = found[:limit]
        if len(found) == len(page):
            return page, ""
        last = page[-1]
        assert last.id is not None
        return page, self.tokens.after(last.create_time, last.id, listing=listing)
