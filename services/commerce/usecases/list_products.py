"""List products: by category, price and words, sorted, by page or by token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache
from uuid import UUID

from services.commerce.domain.totals import Total, Totals
from services.commerce.errors import UsePageToken
from services.commerce.model import PRODUCT_NAME_MAX, Filters, Product, Sort
from services.commerce.store import listing
from services.commerce.store.listing import ListedProduct, Position
from services.commerce.validation import checked_id
from services.kernel.db.database import Database
from services.kernel.errors import InvalidField
from services.kernel.money import digits_of
from services.kernel.paging import PageTokens, page_size
from services.kernel.validation import Violations

# Beyond this row only tokens lead further: skipping costs what it skips.
PAGED_ROWS_MAX = 10_000
TOKENS_KEPT = 256

_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """Which products are asked for, unchecked; empty texts and zeros mean nothing special."""

    category: str = ""
    min_price: str = ""
    max_price: str = ""
    q: str = ""
    sort: str = ""
    page: int = 0
    limit: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class ProductPage:
    """A page of products.

    Attributes:
        next_token: Leads to the next page; empty on the last.
        number: The page's number; 0 when it was reached by token.
        limit: How many products a page.
    """

    products: Sequence[Product]
    next_token: str
    number: int
    limit: int
    total: Total


class ListProducts:
    """Lists products.

    Args:
        database: Where.
        tokens: Makes and reads page tokens.
        totals: Counts.
        currency: Says how many decimals a price has.
    """

    def __init__(
        self, database: Database, tokens: PageTokens, totals: Totals, *, currency: str
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._totals = totals
        self._currency = currency
        # The first page is asked for again and again, and its token has to be signed.
        self._token = lru_cache(maxsize=TOKENS_KEPT)(self._make)

    async def __call__(self, asked: ListRequest) -> ProductPage:
        """Return a page, in one statement and perhaps one that counts.

        Raises:
            InvalidField: With every wrong field.
            UsePageToken: The page is beyond `PAGED_ROWS_MAX` rows.
        """
        filters, limit = _checked(asked, self._currency)
        if asked.page_token:
            return await self._after(asked.page_token, filters, limit)
        return await self._numbered(asked.page or 1, filters, limit)

    async def _numbered(self, number: int, filters: Filters, limit: int) -> ProductPage:
        skip = (number - 1) * limit
        if skip + limit > PAGED_ROWS_MAX:
            raise UsePageToken
        found = await listing.list_products(
            self._database, filters, after=None, skip=skip, limit=limit + 1
        )
        if 0 < len(found) <= limit or not skip + len(found):
            total = Total(skip + len(found), is_lower_bound=False)  # the last page
        else:
            total = await self._totals.of(filters)
        return self._page(found, filters, number=number, limit=limit, total=total)

    async def _after(self, token: str, filters: Filters, limit: int) -> ProductPage:
        position, total = self._read(token, filters)
        found = await listing.list_products(
            self._database, filters, after=position, skip=0, limit=limit + 1
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


def _checked(asked: ListRequest, currency: str) -> tuple[Filters, int]:
    v = Violations()
    category_id = checked_id(v, asked.category, "category") if asked.category else None
    least = _price(v, asked.min_price, "min_price", currency, ROUND_CEILING)
    highest = _price(v, asked.max_price, "max_price", currency, ROUND_FLOOR)
    are_given = least is not None and highest is not None
    if are_given and Decimal(asked.min_price) > Decimal(asked.max_price):
        v.add("min_price", "must not be above max_price")
    words = v.text(asked.q, "q", max_length=PRODUCT_NAME_MAX)
    sort = v.choice(asked.sort, "sort", tuple(Sort)) or Sort.NEWEST
    limit = _limit(v, asked)
    v.raise_any()
    return Filters(category_id, least, highest, words, Sort(sort)), limit


def _limit(v: Violations, asked: ListRequest) -> int:
    if asked.page < 0:
        v.add("page", "must not be negative; pages begin at 1")
    if asked.page and asked.page_token:
        v.add("page", "must be absent when there is a page_token")
    try:
        return page_size(asked.limit, field="limit")
    except InvalidField as error:
        v.violations += error.violations
        return 0


def _price(v: Violations, text: str, field: str, currency: str, rounding: str) -> int | None:
    """Read a bound of the price, rounded inwards to whole minor units."""
    if not text:
        return None
    if not _DECIMAL.fullmatch(text):
        v.add(field, "must be a plain decimal such as 9.99, at most 15 digits before the point")
        return None
    minor = Decimal(text).scaleb(digits_of(currency))
    return int(minor.to_integral_value(rounding))
