"""List orders, newest first: the caller's own, or those of any or all users for administrators."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from services.commerce.model import Order, OrderFilters
from services.commerce.store import order_lists
from services.kernel.db.database import Database
from services.kernel.paging import PageRows, PageTokens, listing_of
from services.kernel.rpc.access import forbidden, require_own
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class ListOrders:
    """Lists orders."""

    database: Database
    tokens: PageTokens

    async def __call__(
        self, *, caller: Caller, filters: OrderFilters, limit: int, token: str
    ) -> PageRows[Order]:
        """Return the orders of a page.

        Raises:
            InvalidField: The token is wrong.
            Forbidden: They are another user's, and the caller is not an administrator.
        """
        if filters.user_id is not None:
            require_own(filters.user_id, caller)
        elif not caller.acts_for_all:
            raise forbidden(caller)
        listing = _name(filters)

        def token_after(order: Order) -> str:
            assert order.id is not None
            return self.tokens.after(order.create_time, order.id, listing=listing)

        before = self.tokens.newest_first(token, listing=listing)
        found = await order_lists.list_orders(
            self.database, filters, before=before, limit=limit + 1
        )
        rest = "" if found.end is None else self.tokens.after(*found.end, listing=listing)
        return PageRows(found.orders, limit, token_after, token_at_end=rest)


def _name(filters: OrderFilters) -> str:
    narrowing = asdict(filters) | {"states": filters.states or None}
    user_id = narrowing.pop("user_id")
    return listing_of(f"orders {user_id}", **narrowing)
