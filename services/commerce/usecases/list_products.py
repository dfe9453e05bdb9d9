"""List products: by category, price and words, sorted, by page or by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from services.commerce.domain.list_memory import ListMemory
from services.commerce.domain.totals import Total
from services.commerce.errors import UsePageToken
from services.commerce.model import Filters, Product, Sort
from services.commerce.store import relevance, search_words
from services.commerce.store.listing import ListedProduct, Position
from services.commerce.store.relevance import RankedProduct
from services.kernel.db.database import Reader
from services.kernel.paging import PageTokens, listing_of

Found = ListedProduct | RankedProduct

# Only tokens lead beyond this row: the cost of a skip grows with the rows skipped.
PAGED_ROWS_MAX = 10_000
PAGE_TOKEN_CACHE_SIZE = 256
_OF_0_1 = ("category_id", "min_price", "max_price", "words", "sort")


@dataclass(frozen=True, slots=True)
class ProductPage:
    """A page of products.

    Attributes:
        next_token: The token of the next page; empty on the last page.
        number: The page's number; 0 when a token led to it.
        limit: The most products on a page.
        suggestions: Other searches, when nothing was found.
    """

    products: Sequence[Product]
    next_token: str
    number: int
    limit: int
    total: Total
    suggestions: Sequence[str] = ()


class ListProducts:
    """Lists products."""

    def __init__(self, reader: Reader, tokens: PageTokens, memory: ListMemory) -> None:
        self._reader = reader
        self._tokens = tokens
        self._memory = memory
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
        # The order follows from the total.
        total = await self._memory.totals.of(filters) if filters.sort is Sort.RELEVANCE else None
        found = await self._list(filters, total, limit=limit + 1, skip=skip)
        if 0 < len(found) <= limit or not skip + len(found):
            total = Total(skip + len(found), is_lower_bound=False)  # the last page
        elif total is None:
            total = await self._memory.totals.of(filters)
        page = self._page(found, filters, number=number, limit=limit, total=total)
        if filters.words is None or total.count:
            return page
        return replace(page, suggestions=await search_words.suggest(self._reader, filters.words))

    async def _after(self, token: str, filters: Filters, limit: int) -> ProductPage:
        position, total = self._read(token, filters)
        found = await self._list(filters, total, limit=limit + 1, after=position)
        return self._page(found, filters, number=0, limit=limit, total=total)

    async def _list(
        self,
        filters: Filters,
        total: Total | None,
        *,
        limit: int,
        after: Position | None = None,
        skip: int = 0,
    ) -> Sequence[Found]:
        ordered = _ordered(filters, total)
        if ordered.sort is Sort.RELEVANCE:
            return await relevance.list_products(
                self._reader, ordered, limit=limit, after=after, skip=skip
            )
        return await self._memory.broad.list_products(ordered, limit=limit, after=after, skip=skip)

    def _page(
        self,
        found: Sequence[Found],
        filters: Filters,
        *,
        number: int,
        limit: int,
        total: Total,
    ) -> ProductPage:
        page = found[:limit]
        token = ""
        if len(found) > limit:
            position = page[-1].position(_ordered(filters, total).sort)
            token = self._token(position, filters, total)
        return ProductPage(page, token, number, limit, total)

    def _make(self, position: Position, filters: Filters, total: Total) -> str:
        value: object = position.value
        match value:
            case datetime():
                value = value.isoformat()
            case (rank, datetime() as moment):
                value = [rank, moment.isoformat()]
        return self._tokens.make(
            [value, str(position.product_id), total.count, total.is_lower_bound],
            listing=_name(filters),
        )

    def _read(self, token: str, filters: Filters) -> tuple[Position, Total]:
        value, row_id, count, is_lower_bound = self._tokens.read(token, listing=_name(filters))
        total = Total(count, is_lower_bound)
        match _ordered(filters, total).sort:
            case Sort.NEWEST:
                value = datetime.fromisoformat(value)
            case Sort.RELEVANCE:
                value = (value[0], datetime.fromisoformat(value[1]))
        return Position(value, UUID(row_id)), total


def _ordered(filters: Filters, total: Total | None) -> Filters:
    """Return a list as it is ordered: too many matches for ranks come with the newest first."""
    if filters.sort is Sort.RELEVANCE and total is not None and total.is_lower_bound:
        return replace(filters, sort=Sort.NEWEST)
    return filters


def _name(filters: Filters) -> str:
    """Return the name of the list, which a filter that is not given leaves as it is.

    So a token stays valid while a filter is added to the code. The filters that 0.1 had are
    written as 0.1 wrote them, so that its tokens are good for 0.2, too.
    """
    given = asdict(filters)
    first = ", ".join(f"{name}={given.pop(name)!r}" for name in _OF_0_1)
    return listing_of(f"products Filters({first})", **given)
