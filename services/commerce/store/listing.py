"""Lists of products: by keyset, so that every page costs the same, however deep it is.

Each combination of filters has a statement of its own, so that PostgreSQL plans for
those filters alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from datetime import datetime
from enum import Enum, auto
from functools import cache
from typing import Any, get_type_hints
from typing import cast as typed
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    FromClause,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    select,
    tuple_,
)

from services.commerce.model import CATEGORIES, PRODUCTS, Filters, Product, Sort
from services.commerce.store.products import COLUMNS, INT32_MAX
from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement
from services.kernel.money import MINOR_UNITS_MAX

COUNTED_MAX = 10_000
WALKED_MAX = 2_000

_SORTS = {
    Sort.NEWEST: (PRODUCTS.c.create_time, True),
    Sort.CHEAPEST: (PRODUCTS.c.price, False),
    Sort.DEAREST: (PRODUCTS.c.price, True),
    Sort.NAME: (PRODUCTS.c.name_key, False),
    Sort.NAME_BACKWARDS: (PRODUCTS.c.name_key, True),
    Sort.STOCK: (PRODUCTS.c.stock, False),
}
SORTS = tuple(_SORTS)
# The parameters of the least and the largest value, and the column of the values.
_RANGES: tuple[tuple[str, str, Column[int]], ...] = (
    ("min_price", "max_price", PRODUCTS.c.price),
    ("min_stock", "max_stock", PRODUCTS.c.stock),
)
# Every word of the text must begin a word of the product.
QUERY: ColumnElement[Any] = func.search_query(cast(bindparam("words", type_=Text), Text))


class Way(Enum):
    """How a page is found.

    Attributes:
        SERVED: An index has all filters, and the order of the list.
        WALKED: The first rows in the order of the list are looked through.
        COLLECTED: All rows that match are collected, and then sorted.
    """

    SERVED = auto()
    WALKED = auto()
    COLLECTED = auto()


SortValue = datetime | int | str
Names = tuple[str, ...]  # the names of a statement's parameters


@dataclass(frozen=True, slots=True)
class Position:
    """The end of a page: its last product, by sort value and id.

    Attributes:
        value: The value of the sort's column; the rank and the time in the order of relevance.
    """

    value: SortValue | tuple[int, datetime]
    product_id: UUID


@dataclass(frozen=True, slots=True)
class ListedProduct(Product):
    """A product and the key of its name."""

    name_key: str = field(compare=False)

    def position(self, sort: Sort) -> Position:
        """Return the position of this product in a list."""
        match sort:
            case Sort.NEWEST:
                return Position(self.create_time, self.id)
            case Sort.CHEAPEST | Sort.DEAREST:
                return Position(self.price, self.id)
            case Sort.NAME | Sort.NAME_BACKWARDS:
                return Position(self.name_key, self.id)
            case Sort.STOCK:
                return Position(self.stock, self.id)
            case Sort.RELEVANCE:
                raise ValueError("only a ranked product has a place in this order")


@dataclass(frozen=True, slots=True)
class CollectedProduct(ListedProduct):
    """A product that was found among all that match, and their number."""

    matches: int = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListParameters:
    """The parameters of all lists; a statement has those that are not None."""

    category_id: UUID | None
    seller_id: UUID | None
    min_price: int | None
    max_price: int | None
    min_stock: int | None
    max_stock: int | None
    words: str | None
    after_rank: int | None
    after_value: SortValue | None
    after_id: UUID | None
    skip: int | None
    limit: int | None
    ids: list[UUID] | None = None


_ALL_NAMES = tuple(each.name for each in fields(ListParameters))


@dataclass(frozen=True, slots=True)
class CountRow:
    """The number of products, counted."""

    counted: int


async def list_products(
    reader: Reader,
    filters: Filters,
    *,
    limit: int,
    after: Position | None = None,
    skip: int = 0,
) -> Sequence[ListedProduct]:
    """Return products.

    An index in the order of the list serves it, unless a filter is not in that index. Then
    PostgreSQL would walk the index until enough rows match, perhaps to its end. So the walk
    ends after `WALKED_MAX` rows: a page of frequent matches is full by then. For a page of
    rare matches these are collected by the index of the filter, and sorted.

    Args:
        reader: The database.
        filters: Which products, and in which order.
        limit: The most products to return.
        after: The end of the page before; None: list from the beginning.
        skip: The number of products to skip instead; each costs time.
    """
    parameters = parameters_of(
        filters, after=after, skip=skip if after is None else None, limit=limit
    )
    names = names_of(parameters)
    if _is_served(names, filters.sort):
        return await reader.all(_page(names, filters.sort, Way.SERVED), parameters)
    found = await reader.all(_page(names, filters.sort, Way.WALKED), parameters)
    if len(found) == limit:
        return found
    return await reader.all(_page(names, filters.sort, Way.COLLECTED), parameters)


async def read_products(reader: Reader, filters: Filters, ids: list[UUID]) -> list[ListedProduct]:
    """Return those of the products that match the filters now, in their order."""
    parameters = replace(parameters_of(filters), ids=ids)
    return await reader.all(_products(names_of(parameters), filters.sort), parameters)


def is_broad(products: Sequence[ListedProduct]) -> bool:
    """Say whether a page was found among more matches than are counted."""
    first = products[0] if products else None
    return isinstance(first, CollectedProduct) and first.matches > COUNTED_MAX


async def count_products(reader: Reader, filters: Filters) -> int:
    """Count products, to one more than `COUNTED_MAX` at most."""
    parameters = parameters_of(filters)
    (row,) = await reader.all(_count(names_of(parameters)), parameters)
    return row.counted


def parameters_of(
    filters: Filters,
    *,
    after: Position | None = None,
    skip: int | None = None,
    limit: int | None = None,
) -> ListParameters:
    """Return the parameters of a list, or of its count."""
    min_price, max_price = filters.min_price, filters.max_price
    if filters.has_prices:
        min_price = min_price or 0
        max_price = MINOR_UNITS_MAX if max_price is None else max_price
    after_rank, after_value = None, None if after is None else after.value
    if isinstance(after_value, tuple):
        after_rank, after_value = after_value
    min_stock, max_stock = filters.min_stock, filters.max_stock
    if filters.has_stocks:
        min_stock = min_stock or 0
        max_stock = INT32_MAX if max_stock is None else max_stock
    return ListParameters(
        category_id=filters.category_id,
        seller_id=filters.seller_id,
        min_price=min_price,
        max_price=max_price,
        min_stock=min_stock,
        max_stock=max_stock,
        words=filters.words,
        after_rank=after_rank,
        after_value=after_value,
        after_id=None if after is None else after.product_id,
        skip=skip,
        limit=limit,
    )


def names_of(parameters: ListParameters) -> Names:
    """Return the names of the parameters that a list has."""
    return tuple(name for name in _ALL_NAMES if getattr(parameters, name) is not None)


def _is_served(names: Names, sort: Sort) -> bool:
    """Say whether an index in the order of a list has all its filters."""
    key, _ = _SORTS[sort]
    ranges = {column.key for least, _, column in _RANGES if least in names}
    if "seller_id" in names and ("category_id" in names or sort is not Sort.NEWEST):
        return False
    return "words" not in names and ranges <= {key.key}


def is_planned_anew(names: Names) -> bool:
    """Say whether the best plan follows from the parameters: a range, words, or a seller."""
    return bool({"words", "seller_id"} & {*names}) or any(least in names for least, _, _ in _RANGES)


@cache
def _page(names: Names, sort: Sort, way: Way) -> Statement[ListParameters, ListedProduct]:
    key, is_backwards = _SORTS[sort]
    wanted = _wanted(names, sort, way).limit(bindparam("limit"))
    if "skip" in names:
        wanted = wanted.offset(bindparam("skip"))
    if way is Way.COLLECTED:  # only ids were collected, because products are long
        chosen = wanted.subquery("chosen")
        wanted = select(PRODUCTS, chosen.c.matches).join(chosen, chosen.c.id == PRODUCTS.c.id)
    page = wanted.subquery("page")
    # Join the categories outside, so that skipped rows need none.
    columns = [page.c.get(each.key, CATEGORIES.c.name.label("category_name")) for each in COLUMNS]
    matches = [page.c.matches] if way is Way.COLLECTED else []
    return Statement(
        select(*columns, page.c.name_key, *matches)
        .join_from(page, CATEGORIES, CATEGORIES.c.id == page.c.category_id)
        .order_by(*_order(page.c[key.key], page.c.id, is_backwards=is_backwards)),
        class_of(names, after_value=key.type.python_type),
        CollectedProduct if way is Way.COLLECTED else ListedProduct,
        is_planned_anew=is_planned_anew(names),
        is_costly=way is not Way.SERVED,
    )


def _wanted(names: Names, sort: Sort, way: Way) -> Select[Any]:
    """Select the rows of a list, in its order."""
    key, is_backwards = _SORTS[sort]
    order = _order(key, PRODUCTS.c.id, is_backwards=is_backwards)
    found: FromClause
    rows = select(PRODUCTS).where(*place_of(names), *_position(names, sort))
    match way:
        case Way.SERVED:
            return rows.where(*conditions_of(names, PRODUCTS)).order_by(*order)
        case Way.WALKED:
            found = rows.order_by(*order).limit(literal_column(str(WALKED_MAX))).subquery("walked")
            chosen = select(found).where(*conditions_of(names, found))
        case Way.COLLECTED:
            # Without an order, and apart from it, only the index of a filter helps.
            matching = rows.with_only_columns(PRODUCTS.c.id, key).where(
                *conditions_of(names, PRODUCTS)
            )
            found = matching.cte("matching").prefix_with("MATERIALIZED")
            number = select(func.count()).select_from(found).scalar_subquery()
            chosen = select(found, number.label("matches"))
    return chosen.order_by(*_order(found.c[key.key], found.c.id, is_backwards=is_backwards))


@cache
def _products(names: Names, sort: Sort) -> Statement[ListParameters, ListedProduct]:
    key, is_backwards = _SORTS[sort]
    return Statement(
        select(*COLUMNS, PRODUCTS.c.name_key)
        .join_from(PRODUCTS, CATEGORIES, CATEGORIES.c.id == PRODUCTS.c.category_id)
        .where(PRODUCTS.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
        .where(*place_of(names), *conditions_of(names, PRODUCTS))
        .order_by(*_order(key, PRODUCTS.c.id, is_backwards=is_backwards)),
        class_of(names),
        ListedProduct,
        is_planned_anew=is_planned_anew(names),
    )


@cache
def _count(names: Names) -> Statement[ListParameters, CountRow]:
    matching = select(literal(1)).where(*place_of(names), *conditions_of(names, PRODUCTS))
    if "words" not in names:
        # With an order that an index has, the planner does not read the whole table.
        key = next((column for least, _, column in _RANGES if least in names), None)
        if key is None:
            is_by_price = "category_id" in names and "seller_id" not in names
            key = PRODUCTS.c.price if is_by_price else PRODUCTS.c.create_time
        matching = matching.order_by(key)
    counted = matching.limit(COUNTED_MAX + 1).subquery("matching")
    return Statement(
        select(func.count().label("counted")).select_from(counted),
        class_of(names),
        CountRow,
        is_planned_anew=is_planned_anew(names),
        is_costly=is_planned_anew(names),
    )


def class_of(names: Names, **types: type) -> type[ListParameters]:
    """Make the class of these parameters alone, for the check of a statement."""
    hints = get_type_hints(ListParameters) | types
    only = make_dataclass("ListParameters", [(name, hints[name]) for name in names])
    return typed(type[ListParameters], only)


def place_of(names: Names) -> list[ColumnElement[bool]]:
    """Return the conditions that every index of a sort has: listed, and in the category."""
    conditions: list[Any] = [PRODUCTS.c.delete_time.is_(None)]
    if "category_id" in names:
        conditions.append(PRODUCTS.c.category_id == bindparam("category_id", type_=Uuid))
    return conditions


def _position(names: Names, sort: Sort) -> list[ColumnElement[bool]]:
    """Return the condition that a row comes after the page before."""
    if "after_id" not in names:
        return []
    key, is_backwards = _SORTS[sort]
    row = tuple_(key, PRODUCTS.c.id)
    last = tuple_(bindparam("after_value", type_=key.type), bindparam("after_id", type_=Uuid))
    return [row < last if is_backwards else row > last]


def conditions_of(names: Names, rows: FromClause) -> list[ColumnElement[bool]]:
    """Return the conditions that only some indexes have."""
    conditions: list[Any] = []
    if "seller_id" in names:
        conditions.append(rows.c.seller_id == bindparam("seller_id", type_=Uuid))
    for least, most, column in _RANGES:
        if least in names:
            low, high = (bindparam(name, type_=column.type) for name in (least, most))
            conditions.append(rows.c[column.key].between(low, high))
    if "words" in names:
        conditions.append(rows.c.words.op("@@")(QUERY))
    return conditions


def _order(
    key: ColumnElement[Any], row_id: ColumnElement[UUID], *, is_backwards: bool
) -> tuple[ColumnElement[Any], ...]:
    if is_backwards:
        return key.desc(), row_id.desc()
    return key.asc(), row_id.asc()
