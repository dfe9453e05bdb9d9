"""Orders: their snapshots never change, their state by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
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
from services.commerce.model import ORDER_ITEMS, ORDERS, Order, OrderItem, OrderState
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.untyped import Row, Untyped

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

_INSERT = Untyped(
    insert(ORDERS).values(
        id=bindparam("order_id"),
        user_id=_USER,
        state=OrderState.PENDING.value,
        total=bindparam("total"),
        debit_id=bindparam("debit_id"),
    )
)
_ITEM_ARRAYS = {
    "position": Integer,
    "product_id": Uuid,
    "name": Text,
    "quantity": Integer,
    "unit_price": BigInteger,
}
_INSERT_ITEMS = Untyped(
    insert(ORDER_ITEMS).from_select(
        ["order_id", *_ITEM_ARRAYS],
        select(
            bindparam("order_id", type_=Uuid), *(column(name) for name in _ITEM_ARRAYS)
        ).select_from(
            func.unnest(
                *(bindparam(name, type_=ARRAY(kind)) for name, kind in _ITEM_ARRAYS.items())
            )
            .table_valued(*_ITEM_ARRAYS, name="given")
            .render_derived()
        ),
    )
)
_GET = Untyped(select(*_COLUMNS).where(_BY_ID))
_ITEMS = Untyped(
    select(
        ORDER_ITEMS.c.order_id,
        ORDER_ITEMS.c.product_id,
        ORDER_ITEMS.c.name,
        ORDER_ITEMS.c.quantity,
        ORDER_ITEMS.c.unit_price,
    )
    .where(ORDER_ITEMS.c.order_id == func.any(bindparam("order_ids", type_=ARRAY(Uuid))))
    .order_by(ORDER_ITEMS.c.order_id, ORDER_ITEMS.c.position)
)
_PAGE = Untyped(
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
    .limit(bindparam("limit"))
)


def _move(before: OrderState, after: OrderState, **also: BindParameter[Any]) -> Untyped:
    return Untyped(
        update(ORDERS)
        .where(_BY_ID, ORDERS.c.state == before.value)
        .values(state=after.value, update_time=_NOW, **also)
    )


_PAY = _move(OrderState.PENDING, OrderState.PAID)
_FAIL = _move(OrderState.PENDING, OrderState.FAILED, failure_reason=bindparam("reason"))
_BEGIN_CANCEL = _move(OrderState.PAID, OrderState.CANCELLING, refund_id=bindparam("refund_id"))
_CANCEL = _move(OrderState.CANCELLING, OrderState.CANCELLED)
_IN_FLIGHT = Untyped(
    select(ORDERS.c.id)
    .where(
        ORDERS.c.user_id == _USER,
        ORDERS.c.state == func.any(literal_column("ARRAY['PENDING', 'CANCELLING']", ARRAY(Text))),
    )
    .limit(1)
)
_IS_PENDING = Untyped(
    select(ORDERS.c.id).where(ORDERS.c.user_id == _USER, literal_column("state = 'PENDING'"))
)
_PSEUDONYMISE = Untyped(
    update(ORDERS).where(ORDERS.c.user_id == _USER).values(user_id=null(), update_time=_NOW)
)


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
        await tx.execute(
            _INSERT, order_id=order_id, user_id=user_id, total=total, debit_id=debit_id
        )
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != "uq_orders_pending":
            raise
        raise CheckoutInProgress from error
    await tx.execute(
        _INSERT_ITEMS,
        order_id=order_id,
        position=list(range(len(items))),
        product_id=[item.product_id for item in items],
        name=[item.name for item in items],
        quantity=[item.quantity for item in items],
        unit_price=[item.unit_price for item in items],
    )


async def get(reader: Reader, order_id: UUID) -> Order | None:
    """Return an order, or None."""
    row = await reader.first(_GET, order_id=order_id)
    return None if row is None else (await _with_items(reader, [row]))[0]


async def list_orders(
    reader: Reader, user_id: UUID, *, before: tuple[datetime, UUID], limit: int
) -> list[Order]:
    """Return a user's orders, newest first, older than `before`: two statements."""
    rows = await reader.all(
        _PAGE, user_id=user_id, before_time=before[0], before_id=before[1], limit=limit
    )
    return await _with_items(reader, rows)


async def is_pending(reader: Reader, user_id: UUID) -> bool:
    """Say whether an order of the user is being paid."""
    return await reader.first(_IS_PENDING, user_id=user_id) is not None


async def is_in_flight(reader: Reader, user_id: UUID) -> bool:
    """Say whether an order of the user is being paid or refunded."""
    return await reader.first(_IN_FLIGHT, user_id=user_id) is not None


async def pay(tx: Transaction, order_id: UUID) -> bool:
    """Make a PENDING order PAID; False when it was not PENDING."""
    return await tx.execute(_PAY, order_id=order_id) == 1


async def fail(tx: Transaction, order_id: UUID, *, reason: str) -> bool:
    """Make a PENDING order FAILED; False when it was not PENDING."""
    return await tx.execute(_FAIL, order_id=order_id, reason=reason) == 1


async def begin_cancel(tx: Transaction, order_id: UUID, *, refund_id: UUID) -> bool:
    """Make a PAID order CANCELLING; False when it was not PAID."""
    return await tx.execute(_BEGIN_CANCEL, order_id=order_id, refund_id=refund_id) == 1


async def cancel(tx: Transaction, order_id: UUID) -> bool:
    """Make a CANCELLING order CANCELLED; False when it was not CANCELLING."""
    return await tx.execute(_CANCEL, order_id=order_id) == 1


async def quantities(reader: Reader, order_id: UUID) -> dict[UUID, int]:
    """Return how many of each product were ordered."""
    rows = await reader.all(_ITEMS, order_ids=[order_id])
    return {row.product_id: row.quantity for row in rows}


async def pseudonymise(tx: Transaction, user_id: UUID) -> None:
    """Take the user out of all orders."""
    await tx.execute(_PSEUDONYMISE, user_id=user_id)


async def _with_items(reader: Reader, rows: Sequence[Row]) -> list[Order]:
    items = await reader.all(_ITEMS, order_ids=[row.id for row in rows])
    grouped = {
        order_id: [_item(item) for item in group]
        for order_id, group in groupby(items, key=lambda item: item.order_id)
    }
    return [_order(row, grouped[row.id]) for row in rows]


def _item(row: Row) -> OrderItem:
    return OrderItem(
        product_id=row.product_id,
        name=row.name,
        quantity=row.quantity,
        unit_price=row.unit_price,
    )


def _order(row: Row, items: list[OrderItem]) -> Order:
    return Order(
        id=row.id,
        user_id=row.user_id,
        state=OrderState(row.state),
        items=items,
        total=row.total,
        create_time=row.create_time,
        failure_reason=row.failure_reason,
        debit_id=row.debit_id,
        refund_id=row.refund_id,
    )
