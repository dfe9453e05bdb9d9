"""List the sales of a seller: the caller's own, or those of any seller for administrators."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID

from services.commerce.model import SaleFilters
from services.commerce.store import sales
from services.commerce.store.sales import Sale, SalePosition
from services.kernel.db.database import Database
from services.kernel.paging import PageRows, PageTokens, listing_of
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class ListSales:
    """Lists sales."""

    database: Database
    tokens: PageTokens

    async def __call__(
        self, *, caller: Caller, filters: SaleFilters, limit: int, token: str
    ) -> PageRows[Sale]:
        """Return the sales of a page, those of the newest order first.

        Raises:
            InvalidField: The token is wrong.
            Forbidden: They are another user's, and the caller is not an administrator.
        """
        require_own(filters.seller_id, caller)
        listing = listing_of("sales", **asdict(filters))

        def token_at(place: SalePosition) -> str:
            return self.tokens.make([str(place.order_id), place.position], listing=listing)

        before = sales.BEGINNING
        if token:
            order_id, position = self.tokens.read(token, listing=listing)
            before = SalePosition(UUID(order_id), position)
        found = await sales.list_sales(self.database, filters, before=before, limit=limit + 1)
        return PageRows(
            found.sales,
            limit,
            lambda sale: token_at(sale.place),
            token_at_end="" if found.end is None else token_at(found.end),
        )
