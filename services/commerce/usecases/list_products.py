"""List products: by category, price and words, sorted, by page or by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from services.commerce.domain.totals import Total, Totals
from services.commerce.errors import UsePageToken
from services.commerce.model import Filters, Product, Sort
from services.commerce.store import listing
from services.commerce.store.listing import ListedProduct, Position
from services.kernel.db.database import Database
from services.kernel.paging import PageTokens

# Only tokens lead beyond this row: the cost of a skip grows with the rows skipped.
PAGED_ROWS_MAX = 10_000
PAGE_TOKEN_CACHE_SIZE = 256


@dataclass(frozen=True, slots=True)
class ProductPage:
    """A page of products.

    Attributes:
        next_token: The token of the next page; empty on the last page.
        number: The page's number; 0 when a token led to it.
        limit: The most products on a page.
    """

    products: Sequence[Product]
    next_token: str
    number: int
    limit: int
    total: Total


class ListProducts:
    """Lists products."""

    def __init__(self, database: Database, tokens: PageTokens, totals: Totals) -> None:
        self._database = database
        self._tokens = tokens
        self._totals = totals
        # Most callers ask for the first page, and its token must be signed.
        self._token = lru_cache(maxsize=PAGE_TOKEN_CACHE_SIZE)(self._make)

    async def __call__(self, *, filters: Filters, page: int, token: str, limit: int) -> ProductPage:
        """Return a page, with one statement and at most one more, which counts.

        Args:
            filters: The products to list, and their order.
            page: The number of the page; the first is 1.
            token: When not empty, the token of the page instead.
            limit: The most products to return.

        Raises:
            InvalidField: The token is wrong, or belongs to another list.
            UsePageToken: The page is beyond `PAGED_ROWS_MAX` rows.
        """
        if token:
            return await self._after(token, filters, limit)
        return await self._numbered(page, filters, limit)

    async def _numbered(self, number: int, filters: Filters, limit: int) -> ProductPage:
        skip = (number - 1) * limit
        if skip + limit > PAGED_ROWS_MAX:
            raise UsePageToken
        found = await listing.list_products(self._database, filters, limit=limit + 1, skip=skip)
        if 0 < len(found) <= limit or not skip + len(found):
            total = Total(skip + len(found), is_lower_bound=False)  # the last page
        else:
            total = await self._totals.of(filters)
        return self._page(found, filters, number=number, limit=limit, total=total)

    async def _after(self, token: str, filters: Filters, limit: int) -> ProductPage:
        position, total = self._read(token, filters)
        found = await listing.list_products(
            self._database, filters, limit=limit + 1, after=position
        )
        return self._page(found, filters, number=0, limit=limit, total=total)

    def _page(
        self,
        found: list[ListedProduct],
        filters: Filters,
        *,
        number: int,
        limit: int,
        total: Total,
    ) -> ProductPage:
        page = found[:limit]
        token = ""
        if len(found) > limit:
            token = self._token(page[-1].position(filters.sort), filters, total)
        return ProductPage(page, token, number, limit, total)

    def _make(self, position: Position, filters: Filters, total: Total) -> str:
        value = position.value
        if isinstance(value, datetime):
            value = value.isoformat()
        return self._tokens.make(
            [value, str(position.product_id), total.count, total.is_lower_bound],
            listing=_name(filters),
        )

    def _read(self, token: str, filters: Filters) -> tuple[Position, Total]:
        value, row_id, count, is_lower_bound = self._tokens.read(token, listing=_name(filters))
        if filters.sort is Sort.NEWEST:
            value = datetime.fromisoformat(value)
        return Position(value, UUID(row_id)), Total(count, is_lower_bound)


def _name(filters: Filters) -> str:
    return f"products {filters}"
