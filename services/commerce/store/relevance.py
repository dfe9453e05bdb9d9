"""The products that a search finds, those first that it is likeliest about.

A rank follows from words that the whole text has, so no index has this order. All products
that match are ranked for each page, and so there may not be too many of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    DateTime,
    Integer,
    Uuid,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
)

from services.commerce.model import CATEGORIES, PRODUCTS, Filters, Product, Sort
from services.commerce.store.listing import (
    COUNTED_MAX,
    QUERY,
    ListParameters,
    Names,
    Position,
    class_of,
    conditions_of,
    names_of,
    parameters_of,
    place_of,
)
from services.commerce.store.products import COLUMNS
from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement


@dataclass(frozen=True, slots=True)
class RankedProduct(Product):
    """A product and its rank."""

    rank: int = field(compare=False)

    def position(self, _: Sort) -> Position:
        """Return the position of this product in its list."""
        return Position((self.rank, self.create_time), self.id)


async def list_products(
    reader: Reader,
    filters: Filters,
    *,
    limit: int,
    after: Position | None = None,
    skip: int = 0,
) -> list[RankedProduct]:
    """Return products by rank, then the newest first.

    Args:
        reader: The database.
        filters: Which products: at most `COUNTED_MAX`, with words.
        limit: The most products to return.
        after: The end of the page before; None: list from the beginning.
        skip: The number of products to skip instead.
    """
    parameters = parameters_of(
        filters, after=after, skip=skip if after is None else None, limit=limit
    )
    return await reader.all(_page(names_of(parameters)), parameters)


@cache
def _page(names: Names) -> Statement[ListParameters, RankedProduct]:
    # No more than are counted, also when many were added since.
    matching = (
        select(
            PRODUCTS.c.id,
            PRODUCTS.c.create_time,
            func.search_rank(PRODUCTS.c.words, QUERY, type_=Integer).label("rank"),
        )
        .where(*place_of(names), *conditions_of(names, PRODUCTS))
        .limit(literal_column(str(COUNTED_MAX + 1)))
        .cte("matching")
        .prefix_with("MATERIALIZED")
    )
    place = (matching.c.rank, matching.c.create_time, matching.c.id)
    wanted = select(matching.c.id, matching.c.rank)
    if "after_id" in names:
        last = (
            bindparam("after_rank", type_=Integer),
            bindparam("after_value", type_=DateTime(timezone=True)),
            bindparam("after_id", type_=Uuid),
        )
        wanted = wanted.where(tuple_(*place) < tuple_(*last))
    wanted = wanted.order_by(*(each.desc() for each in place)).limit(bindparam("limit"))
    if "skip" in names:
        wanted = wanted.offset(bindparam("skip"))
    chosen = wanted.subquery("chosen")
    source: Any = chosen.join(PRODUCTS, PRODUCTS.c.id == chosen.c.id).join(
        CATEGORIES, CATEGORIES.c.id == PRODUCTS.c.category_id
    )
    return Statement(
        select(*COLUMNS, chosen.c.rank)
        .select_from(source)
        .order_by(chosen.c.rank.desc(), PRODUCTS.c.create_time.desc(), PRODUCTS.c.id.desc()),
        class_of(names),
        RankedProduct,
        is_planned_anew=True,
        is_costly=True,
    )
