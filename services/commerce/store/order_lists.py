"""Lists of orders, by keyset: each walks an index that has its filters, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    Select,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    select,
    true,
)

from services.commerce.model import ORDER_ITEMS, ORDERS, Order, OrderFilters, OrderState
from services.commerce.store import order_ids, walks
from services.commerce.store.order_lines import ORDER_COLUMNS, OrderRow, whole
from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement, newest_first


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    """The orders of all users before a position, newest first."""

    start: datetime
    before_time: datetime
    before_id: UUID
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPageOfUser(OrderPage):
    """Those of one user."""

    user_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPageOfStates(OrderPage):
    """Those in some states."""

    states: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPageOfUserAndStates(OrderPage):
    """Those of one user in some states."""

    user_id: UUID
    states: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPageOfProduct(OrderPage):
    """Those that have a product, in some states."""

    product_id: UUID
    states: list[str]
    since_id: UUID


@dataclass(frozen=True, slots=True)
class WalkedOrder(OrderRow):
    """An order that has a product.

    Attributes:
        walked: The number of orders that were looked through, this one among them.
        is_wanted: Whether it matches; otherwise it is the last one that was looked through.
    """

    walked: int
    is_wanted: bool


@dataclass(frozen=True, slots=True)
class FoundOrders:
    """Orders, and the place of the last one that was looked through; None: there are no more."""

    orders: Sequence[Order]
    end: tuple[datetime, UUID] | None = None


_OF_USER = ORDERS.c.user_id == bindparam("user_id", type_=Uuid)
_SINCE = ORDERS.c.create_time >= bindparam("start", type_=DateTime(timezone=True))
_STATES = bindparam("states", type_=ARRAY(Text))
_wanted = func.unnest(_STATES).table_valued(column("state", Text), name="wanted").render_derived()


def _in_states(rows: Select[Any]) -> Select[Any]:
    """Return the newest of those in some states: each state has its part of the index."""
    each = newest_first(rows.where(ORDERS.c.state == _wanted.c.state), ORDERS)
    newest = each.correlate(_wanted).lateral("newest")
    return (
        select(newest)
        .select_from(_wanted.join(newest, true()))
        .order_by(newest.c.create_time.desc(), newest.c.id.desc())
        .limit(bindparam("limit"))
    )


_ALL = select(*ORDER_COLUMNS).where(_SINCE)
_LIST = Statement(newest_first(_ALL, ORDERS), OrderPage, OrderRow)
_OF_USER_LIST = Statement(newest_first(_ALL.where(_OF_USER), ORDERS), OrderPageOfUser, OrderRow)
_OF_STATES_LIST = Statement(_in_states(_ALL), OrderPageOfStates, OrderRow)
_OF_USER_AND_STATES_LIST = Statement(
    _in_states(_ALL.where(_OF_USER)), OrderPageOfUserAndStates, OrderRow
)
# An order has a product once.
_walked = walks.walk(
    select(ORDER_ITEMS.c.order_id).where(
        ORDER_ITEMS.c.product_id == bindparam("product_id", type_=Uuid),
        ORDER_ITEMS.c.order_id < bindparam("before_id", type_=Uuid),
        ORDER_ITEMS.c.order_id >= bindparam("since_id", type_=Uuid),
    ),
    "order_id",
)
_wanted_of_product = (
    (ORDERS.c.create_time < bindparam("before_time", type_=DateTime(timezone=True)))
    & _SINCE
    & (ORDERS.c.state == func.any(_STATES))
)
_OF_PRODUCT_LIST = Statement(
    select(*ORDER_COLUMNS, _walked.c.walked, _wanted_of_product.label("is_wanted"))
    .join_from(_walked, ORDERS, ORDERS.c.id == _walked.c.order_id)
    .where(walks.is_found(_walked, wanted=_wanted_of_product))
    .order_by(_walked.c.order_id.desc())
    .limit(bindparam("limit")),
    OrderPageOfProduct,
    WalkedOrder,
)


async def list_orders(
    reader: Reader, filters: OrderFilters, *, before: tuple[datetime, UUID], limit: int
) -> FoundOrders:
    """Return orders before a position, newest first; those of a product may be fewer."""
    if filters.product_id is not None:
        return await _of_product(reader, filters, filters.product_id, before[1], limit)
    return FoundOrders(await whole(reader, await _rows(reader, filters, before, limit)))


async def _of_product(
    reader: Reader, filters: OrderFilters, product_id: UUID, before_id: UUID, limit: int
) -> FoundOrders:
    page = OrderPageOfProduct(
        product_id=product_id,
        states=[each.value for each in filters.states or OrderState],
        start=filters.start or order_ids.EARLIEST,
        since_id=order_ids.least_id(filters.start),
        before_time=filters.end or order_ids.LATEST,
        before_id=min(before_id, order_ids.bound_of_ids(filters.end)),
        limit=limit,
    )
    rows = await reader.all(_OF_PRODUCT_LIST, page)
    orders = await whole(reader, [each for each in rows if each.is_wanted])
    last = walks.end_of(rows)
    return FoundOrders(orders, None if last is None else (last.create_time, last.id))


async def _rows(
    reader: Reader, filters: OrderFilters, before: tuple[datetime, UUID], limit: int
) -> list[OrderRow]:
    states = [each.value for each in filters.states]
    place: dict[str, Any] = {"start": filters.start or order_ids.EARLIEST, "limit": limit}
    if filters.end is not None:
        before = min(before, (filters.end, order_ids.FIRST_ID))
    place |= {"before_time": before[0], "before_id": before[1]}
    user_id = filters.user_id
    if states and user_id is not None:
        of_both = OrderPageOfUserAndStates(**place, user_id=user_id, states=states)
        return await reader.all(_OF_USER_AND_STATES_LIST, of_both)
    if states:
        return await reader.all(_OF_STATES_LIST, OrderPageOfStates(**place, states=states))
    if user_id is not None:
        return await reader.all(_OF_USER_LIST, OrderPageOfUser(**place, user_id=user_id))
    return await reader.all(_LIST, OrderPage(**place))
