"""Lists of products: by keyset, so that a page costs the same however deep it is.

There is a statement for each combination of filters, so that PostgreSQL plans for
what is asked and for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Uuid,
    bindparam,
    func,
    literal,
    select,
    text,
    tuple_,
)

from services.commerce.model import CATEGORIES, PRODUCTS, Filters, Product, Sort
from services.commerce.store.products import COLUMNS, product_of
from services.kernel.db.database import Reader
from services.kernel.db.untyped import Row, Untyped
from services.kernel.money import MINOR_UNITS_MAX

COUNTED_MAX = 10_000

_SORTS = {
    Sort.NEWEST: (PRODUCTS.c.create_time, True),
    Sort.CHEAPEST: (PRODUCTS.c.price, False),
    Sort.DEAREST: (PRODUCTS.c.price, True),
    Sort.NAME: (PRODUCTS.c.name_key, False),
    Sort.NAME_BACKWARDS: (PRODUCTS.c.name_key, True),
}
# Every word of the text, as the beginning of a word of the name. What is no letter
# and no digit separates words, as in the column; so nothing is left that a tsquery
# could understand as an operator.
_BEGINNINGS = text(
    "words @@ to_tsquery('simple', regexp_replace(plainto_tsquery('simple', regexp_replace("
    "lower(CAST(:words AS text) COLLATE \"pg_c_utf8\"), '[^[:alnum:]]+', ' ', 'g'))::text, "
    "'''( & |$)', ''':*\\1', 'g'))"
)

Position = tuple[Any, UUID]


@dataclass(frozen=True, slots=True)
class _Shape:
    by_category: bool
    by_price: bool
    by_words: bool
    sort: Sort
    is_after: bool = False


async def list_products(
    reader: Reader, filters: Filters, *, after: Position | None, skip: int, limit: int
) -> list[tuple[Product, Any]]:
    """Return products, each with the value by which it is sorted.

    Args:
        reader: Where.
        filters: Which, and in which order.
        after: The sort value and id of the row before; None: from the beginning.
        skip: How many to skip instead; costs what it skips.
        limit: How many at most.
    """
    parameters = _parameters(filters)
    if after is None:
        parameters["skip"] = skip
    else:
        parameters["after_value"], parameters["after_id"] = after
    rows = await reader.all(_page(_shape(filters, after)), **parameters, limit=limit)
    return [(product_of(row), row.sort_value) for row in rows]


async def count_products(reader: Reader, filters: Filters) -> int:
    """Count products, to one more than `COUNTED_MAX` at most."""
    row: Row = await reader.first(_count(_shape(filters, None)), **_parameters(filters))
    counted: int = row.counted
    return counted


def _shape(filters: Filters, after: Position | None) -> _Shape:
    return _Shape(
        by_category=filters.category_id is not None,
        by_price=filters.has_prices,
        by_words=filters.words is not None,
        sort=filters.sort,
        is_after=after is not None,
    )


def _parameters(filters: Filters) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if filters.category_id is not None:
        parameters["category_id"] = filters.category_id
    if filters.has_prices:
        parameters["min_price"] = filters.min_price or 0
        parameters["max_price"] = (
            MINOR_UNITS_MAX if filters.max_price is None else filters.max_price
        )
    if filters.words is not None:
        parameters["words"] = filters.words
    return parameters


@cache
def _page(shape: _Shape) -> Untyped:
    key, is_backwards = _SORTS[shape.sort]
    wanted = select(PRODUCTS, key.label("sort_value")).where(*_conditions(shape))
    if shape.is_after:
        row = tuple_(key, PRODUCTS.c.id)
        last = tuple_(bindparam("after_value", type_=key.type), bindparam("after_id", type_=Uuid))
        wanted = wanted.where(row < last if is_backwards else row > last)
    else:
        wanted = wanted.offset(bindparam("skip"))
    wanted = wanted.order_by(*_order(key, PRODUCTS.c.id, is_backwards=is_backwards)).limit(
        bindparam("limit")
    )
    page = wanted.subquery("page")
    # The categories are looked up for the rows of the page, not for those skipped.
    columns = [page.c.get(each.key, CATEGORIES.c.name.label("category_name")) for each in COLUMNS]
    return Untyped(
        select(*columns, page.c.sort_value)
        .join_from(page, CATEGORIES, CATEGORIES.c.id == page.c.category_id)
        .order_by(*_order(page.c.sort_value, page.c.id, is_backwards=is_backwards)),
        is_planned_anew=shape.by_price,
    )


@cache
def _count(shape: _Shape) -> Untyped:
    matching = select(literal(1)).where(*_conditions(shape))
    if not shape.by_words:
        # An order that an index has keeps the planner from reading the whole table.
        by_price = shape.by_price or shape.by_category
        matching = matching.order_by(PRODUCTS.c.price if by_price else PRODUCTS.c.create_time)
    counted = matching.limit(COUNTED_MAX + 1).subquery("matching")
    return Untyped(
        select(func.count().label("counted")).select_from(counted),
        is_planned_anew=shape.by_price,
    )


def _conditions(shape: _Shape) -> list[ColumnElement[bool]]:
    conditions: list[Any] = [PRODUCTS.c.delete_time.is_(None)]
    if shape.by_category:
        conditions.append(PRODUCTS.c.category_id == bindparam("category_id", type_=Uuid))
    if shape.by_price:
        conditions.append(
            PRODUCTS.c.price.between(
                bindparam("min_price", type_=BigInteger), bindparam("max_price", type_=BigInteger)
            )
        )
    if shape.by_words:
        conditions.append(_BEGINNINGS)
    return conditions


def _order(
    key: ColumnElement[Any], row_id: ColumnElement[UUID], *, is_backwards: bool
) -> tuple[ColumnElement[Any], ...]:
    if is_backwards:
        return key.desc(), row_id.desc()
    return key.asc(), row_id.asc()
