"""Orders: their items never change, their states by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    DateTime,
    Integer,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    insert,
    literal_column,
    null,
    select,
    tuple_,
    update,
)

from services.commerce.errors import CheckoutInProgress
from services.commerce.model import (
    IS_FAILED,
    ORDER_ITEMS,
    ORDERS,
    SAGAS,
    Order,
    OrderItem,
    OrderState,
)
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class ByOrder:
    """The parameter of a statement about one order."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class ByOrders:
    """The parameter of a statement about several orders."""

    order_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to insert."""

    order_id: UUID
    user_id: UUID
    total: int
    debit_id: UUID


@dataclass(frozen=True, slots=True)
class NewOrderItems:
    """The items of an order to insert, column by column."""

    order_id: UUID
    positions: list[int]
    product_ids: list[UUID]
    names: list[str]
    quantities: list[int]
    unit_prices: list[int]


@dataclass(frozen=True, slots=True)
class OrderPage:
    """The orders of a user before a position, newest first."""

    user_id: UUID
    before_time: datetime
    before_id: UUID
    limit: int


@dataclass(frozen=True, slots=True)
class FailedOrder:
    """An order that fails, and the reason."""

    order_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class CancelledOrder:
    """An order to cancel, and the transfer that refunds it."""

    order_id: UUID
    refund_id: UUID


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order without its items."""

    id: UUID
    user_id: UUID | None
    state: OrderState
    total: int
    failure_reason: str | None
    debit_id: UUID
    refund_id: UUID | None
    create_time: datetime


@dataclass(frozen=True, slots=True)
class OrderItemRow:
    """An item and the order that it is in."""

    order_id: UUID
    product_id: UUID
    name: str
    quantity: int
    unit_price: int


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """An order that exists."""

    id: UUID


_COLUMNS = (
    ORDERS.c.id,
    ORDERS.c.user_id,
    ORDERS.c.state,
    ORDERS.c.total,
    ORDERS.c.failure_reason,
    ORDERS.c.debit_id,
    ORDERS.c.refund_id,
    ORDERS.c.create_time,
)
_BY_ID = ORDERS.c.id == bindparam("order_id", type_=Uuid)
_USER = bindparam("user_id", type_=Uuid)
_NOW = func.clock_timestamp()

_INSERT = Statement(
    insert(ORDERS).values(
        id=bindparam("order_id"),
        user_id=_USER,
        state=OrderState.PENDING.value,
        total=bindparam("total"),
        debit_id=bindparam("debit_id"),
    ),
    NewOrder,
    NoRow,
)
_ITEM_COLUMNS = ("position", "product_id", "name", "quantity", "unit_price")
_INSERT_ITEMS = Statement(
    insert(ORDER_ITEMS).from_select(
        ["order_id", *_ITEM_COLUMNS],
        select(
            bindparam("order_id", type_=Uuid), *(column(name) for name in _ITEM_COLUMNS)
        ).select_from(
            func.unnest(
                bindparam("positions", type_=ARRAY(Integer)),
                bindparam("product_ids", type_=ARRAY(Uuid)),
                bindparam("names", type_=ARRAY(Text)),
                bindparam("quantities", type_=ARRAY(Integer)),
                bindparam("unit_prices", type_=ARRAY(BigInteger)),
            )
            .table_valued(*_ITEM_COLUMNS, name="given")
            .render_derived()
        ),
    ),
    NewOrderItems,
    NoRow,
)
_GET = Statement(select(*_COLUMNS).where(_BY_ID), ByOrder, OrderRow)
_ITEMS = Statement(
    select(
        ORDER_ITEMS.c.order_id,
        ORDER_ITEMS.c.product_id,
        ORDER_ITEMS.c.name,
        ORDER_ITEMS.c.quantity,
        ORDER_ITEMS.c.unit_price,
    )
    .where(ORDER_ITEMS.c.order_id == func.any(bindparam("order_ids", type_=ARRAY(Uuid))))
    .order_by(ORDER_ITEMS.c.order_id, ORDER_ITEMS.c.position),
    ByOrders,
    OrderItemRow,
)
_PAGE = Statement(
    select(*_COLUMNS)
    .where(
        ORDERS.c.user_id == _USER,
        tuple_(ORDERS.c.create_time, ORDERS.c.id)
        < tuple_(
            bindparam("before_time", type_=DateTime(timezone=True)),
            bindparam("before_id", type_=Uuid),
        ),
    )
    .order_by(ORDERS.c.create_time.desc(), ORDERS.c.id.desc())
    .limit(bindparam("limit")),
    OrderPage,
    OrderRow,
)


def _move(
    before: OrderState, after: OrderState, parameters: type[A], **also: BindParameter[Any]
) -> Statement[A, NoRow]:
    """Make a statement that moves an order from one state to another."""
    return Statement(
        update(ORDERS)
        .where(_BY_ID, ORDERS.c.state == before.value)
        .values(state=after.value, update_time=_NOW, **also),
        parameters,
        NoRow,
    )


_PAY = _move(OrderState.PENDING, OrderState.PAID, ByOrder)
_FAIL = _move(
    OrderState.PENDING, OrderState.FAILED, FailedOrder, failure_reason=bindparam("reason")
)
_REFUND = bindparam("refund_id", type_=Uuid)
# Whom the saga is about was read before the order was locked.
_BEGIN_CANCEL = Statement(
    update(ORDERS)
    .where(
        _BY_ID,
        ORDERS.c.state == OrderState.PAID.value,
        SAGAS.c.id == _REFUND,
        ORDERS.c.user_id.is_not_distinct_from(SAGAS.c.user_id),
    )
    .values(state=OrderState.CANCELLING.value, update_time=_NOW, refund_id=_REFUND),
    CancelledOrder,
    NoRow,
)
_CANCEL = _move(OrderState.CANCELLING, OrderState.CANCELLED, ByOrder)
_IN_FLIGHT = Statement(
    select(ORDERS.c.id)
    .where(
        ORDERS.c.user_id == _USER,
        ORDERS.c.state == func.any(literal_column("ARRAY['PENDING', 'CANCELLING']", ARRAY(Text))),
    )
    .limit(1),
    ByUser,
    FoundOrder,
)
_IS_PENDING = Statement(
    select(ORDERS.c.id).where(ORDERS.c.user_id == _USER, literal_column("state = 'PENDING'")),
    ByUser,
    FoundOrder,
)
_PSEUDONYMISE = Statement(
    update(ORDERS).where(ORDERS.c.user_id == _USER).values(user_id=null(), update_time=_NOW),
    ByUser,
    NoRow,
)


# Long after its saga and its key are gone. The items go with it.
OLD_FAILED = old_rows("failed orders", ORDERS, ORDERS.c.update_time, age="30 days", only=IS_FAILED)


async def insert_order(
    tx: Transaction,
    *,
    order_id: UUID,
    user_id: UUID,
    items: Sequence[OrderItem],
    total: int,
    debit_id: UUID,
) -> None:
    """Insert a PENDING order with its items.

    Raises:
        CheckoutInProgress: The user has a PENDING order; the transaction is lost.
    """
    try:
        await tx.execute(_INSERT, NewOrder(order_id, user_id, total, debit_id))
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != "uq_orders_pending":
            raise
        raise CheckoutInProgress from error
    await tx.execute(
        _INSERT_ITEMS,
        NewOrderItems(
            order_id=order_id,
            positions=list(range(len(items))),
            product_ids=[item.product_id for item in items],
            names=[item.name for item in items],
            quantities=[item.quantity for item in items],
            unit_prices=[item.unit_price for item in items],
        ),
    )


async def get(reader: Reader, order_id: UUID) -> Order | None:
    """Return an order, or None."""
    row = await reader.first(_GET, ByOrder(order_id))
    return None if row is None else (await _with_items(reader, [row]))[0]


async def get_known(reader: Reader, order_id: UUID) -> Order:
    """Return an order that is there: only orders that failed long ago are deleted."""
    order = await get(reader, order_id)
    assert order is not None
    return order


async def list_orders(
    reader: Reader, user_id: UUID, *, before: tuple[datetime, UUID], limit: int
) -> list[Order]:
    """Return a user's orders before a position, newest first; takes two statements."""
    rows = await reader.all(_PAGE, OrderPage(user_id, *before, limit))
    return await _with_items(reader, rows)


async def is_pending(reader: Reader, user_id: UUID) -> bool:
    """Say whether an order of the user is being paid."""
    return await reader.first(_IS_PENDING, ByUser(user_id)) is not None


async def is_in_flight(reader: Reader, user_id: UUID) -> bool:
    """Say whether an order of the user is being paid or refunded."""
    return await reader.first(_IN_FLIGHT, ByUser(user_id)) is not None


async def pay(tx: Transaction, order_id: UUID) -> bool:
    """Make a PENDING order PAID; return False when it is not PENDING."""
    return await tx.execute(_PAY, ByOrder(order_id)) == 1


async def fail(tx: Transaction, order_id: UUID, *, reason: str) -> bool:
    """Make a PENDING order FAILED; return False when it is not PENDING."""
    return await tx.execute(_FAIL, FailedOrder(order_id, reason)) == 1


async def begin_cancel(tx: Transaction, order_id: UUID, *, refund_id: UUID) -> bool:
    """Make a PAID order CANCELLING; return False when it is not PAID, or not the saga's user's."""
    return await tx.execute(_BEGIN_CANCEL, CancelledOrder(order_id, refund_id)) == 1


async def cancel(tx: Transaction, order_id: UUID) -> bool:
    """Make a CANCELLING order CANCELLED; return False when it is not CANCELLING."""
    return await tx.execute(_CANCEL, ByOrder(order_id)) == 1


async def quantities(reader: Reader, order_id: UUID) -> dict[UUID, int]:
    """Return the quantity of each product in an order."""
    items = await reader.all(_ITEMS, ByOrders([order_id]))
    return {item.product_id: item.quantity for item in items}


async def pseudonymise(tx: Transaction, user_id: UUID) -> None:
    """Take the user out of all orders."""
    await tx.execute(_PSEUDONYMISE, ByUser(user_id))


async def _with_items(reader: Reader, rows: Sequence[OrderRow]) -> list[Order]:
    found = await reader.all(_ITEMS, ByOrders([row.id for row in rows]))
    items = {
        order_id: [
            OrderItem(row.product_id, row.name, row.quantity, row.unit_price) for row in group
        ]
        for order_id, group in groupby(found, key=lambda row: row.order_id)
    }
    return [_order(row, items[row.id]) for row in rows]


def _order(row: OrderRow, items: list[OrderItem]) -> Order:
    return Order(
        id=row.id,
        user_id=row.user_id,
        state=row.state,
        items=items,
        total=row.total,
        create_time=row.create_time,
        failure_reason=row.failure_reason,
        debit_id=row.debit_id,
        refund_id=row.refund_id,
    )
