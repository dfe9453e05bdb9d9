"""Orders: their items never change, their states by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    Uuid,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)

from services.commerce.model import (
    IS_FAILED,
    IS_PENDING,
    ORDER_ITEMS,
    ORDERS,
    REFUNDS,
    SHIPMENTS,
    Order,
    OrderState,
)
from services.commerce.store.order_lines import ORDER_COLUMNS, OrderRow, whole
from services.common.forgetting import FORGOTTEN_AT_ONCE
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement


@dataclass(frozen=True, slots=True)
class ByOrder:
    """The parameter of a statement about one order."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class FailedOrder:
    """An order that fails, and the reason."""

    order_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class OrderQuantity:
    """The quantity of a product in an order."""

    product_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class AskedStanding:
    """An order, and a user who may have something to do with it."""

    order_id: UUID
    caller_id: UUID | None


@dataclass(frozen=True, slots=True)
class StandingRow:
    """Who ordered, when it was paid, and the products in the order that the user sells."""

    user_id: UUID | None
    pay_time: datetime | None
    own: list[UUID]


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """An order that exists."""

    id: UUID


@dataclass(frozen=True, slots=True)
class SomeOrders:
    """The parameter of a statement about some orders."""

    order_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class OrdersOfUser:
    """Some orders that a user has bought, or sold lines of."""

    user_id: UUID
    order_ids: list[UUID]


_BY_ID = ORDERS.c.id == bindparam("order_id", type_=Uuid)
_USER = bindparam("user_id", type_=Uuid)
_NOW = func.clock_timestamp()

_GET = Statement(select(*ORDER_COLUMNS).where(_BY_ID), ByOrder, OrderRow)
_QUANTITIES = Statement(
    select(ORDER_ITEMS.c.product_id, ORDER_ITEMS.c.quantity).where(
        ORDER_ITEMS.c.order_id == bindparam("order_id", type_=Uuid)
    ),
    ByOrder,
    OrderQuantity,
)
_own = (
    select(ORDER_ITEMS.c.product_id)
    .where(
        ORDER_ITEMS.c.order_id == ORDERS.c.id,
        ORDER_ITEMS.c.seller_id == bindparam("caller_id", type_=Uuid),
    )
    .correlate(ORDERS)
)
_STANDING = Statement(
    select(
        ORDERS.c.user_id,
        ORDERS.c.pay_time,
        func.array(_own.scalar_subquery(), type_=ARRAY(Uuid)).label("own"),
    ).where(_BY_ID),
    AskedStanding,
    StandingRow,
)
_FAIL = Statement(
    update(ORDERS)
    .where(_BY_ID, ORDERS.c.state == OrderState.PENDING.value)
    .values(state=OrderState.FAILED.value, update_time=_NOW, failure_reason=bindparam("reason")),
    FailedOrder,
    NoRow,
)
_open_refund = (
    select(REFUNDS.c.id)
    .where(REFUNDS.c.order_id == ORDERS.c.id, literal_column("refunds.state = 'OPEN'", Boolean))
    .correlate(ORDERS)
)
_IN_FLIGHT = Statement(
    select(ORDERS.c.id)
    .where(
        ORDERS.c.user_id == _USER,
        or_(IS_PENDING, _open_refund.exists()),
    )
    .limit(1),
    ByUser,
    FoundOrder,
)
# The order of a user that is being paid.
PENDING_OF_USER = select(ORDERS.c.id).where(ORDERS.c.user_id == _USER, IS_PENDING)
_PENDING = Statement(PENDING_OF_USER, ByUser, FoundOrder)
_SOME = func.any(bindparam("order_ids", type_=ARRAY(Uuid)))
_SOME_OF_BUYER = Statement(
    select(ORDERS.c.id)
    .where(ORDERS.c.user_id == _USER)
    .order_by(ORDERS.c.create_time, ORDERS.c.id)
    .limit(FORGOTTEN_AT_ONCE),
    ByUser,
    FoundOrder,
)
# What is paid and not shipped can still be shipped.
_PSEUDONYMISE = Statement(
    update(ORDERS)
    .where(ORDERS.c.id == _SOME, ORDERS.c.user_id == _USER)
    .values(
        user_id=null(),
        update_time=_NOW,
        shipping_address=case(
            (ORDERS.c.state == OrderState.PAID.value, ORDERS.c.shipping_address), else_=literal("")
        ),
    ),
    OrdersOfUser,
    NoRow,
)
# What sellers wrote about the buyer's orders.
_FORGET_REASONS = Statement(
    update(REFUNDS).where(REFUNDS.c.order_id == _SOME).values(reason=""), SomeOrders, NoRow
)
_FORGET_TRACKING = Statement(
    update(SHIPMENTS).where(SHIPMENTS.c.order_id == _SOME).values(tracking=""), SomeOrders, NoRow
)
_SOLD = ORDER_ITEMS.c.seller_id == _USER
_SOME_OF_SELLER = Statement(
    select(ORDER_ITEMS.c.order_id.label("id"))
    .where(_SOLD)
    .order_by(ORDER_ITEMS.c.order_id)
    .limit(FORGOTTEN_AT_ONCE),
    ByUser,
    FoundOrder,
)
_FORGET_SELLER = Statement(
    update(ORDER_ITEMS).where(_SOLD, ORDER_ITEMS.c.order_id == _SOME).values(seller_id=null()),
    OrdersOfUser,
    NoRow,
)
# Long after its saga and its key are gone. The items go with it.
OLD_FAILED = old_rows("failed orders", ORDERS, ORDERS.c.update_time, age="30 days", only=IS_FAILED)


async def get(reader: Reader, order_id: UUID) -> Order | None:
    """Return an order, or None."""
    row = await reader.first(_GET, ByOrder(order_id))
    return None if row is None else (await whole(reader, [row]))[0]


async def get_known(reader: Reader, order_id: UUID) -> Order:
    """Return an order that is there: only orders that failed long ago are deleted."""
    order = await get(reader, order_id)
    assert order is not None
    return order


async def with_pay_time(reader: Reader, order: Order) -> Order:
    """Return an order that may come from a kept answer, which is without the time."""
    if order.pay_time is not None or order.id is None:
        return order
    row = await reader.first(_GET, ByOrder(order.id))
    return order if row is None else replace(order, pay_time=row.pay_time)


async def is_pending(reader: Reader, user_id: UUID) -> bool:
    """Say whether an order of the user is being paid."""
    return await reader.first(_PENDING, ByUser(user_id)) is not None


async def is_in_flight(reader: Reader, user_id: UUID) -> bool:
    """Say whether an order of the user is being paid or refunded."""
    return await reader.first(_IN_FLIGHT, ByUser(user_id)) is not None


async def fail(tx: Transaction, order_id: UUID, *, reason: str) -> bool:
    """Make a PENDING order FAILED; return False when it is not PENDING."""
    return await tx.execute(_FAIL, FailedOrder(order_id, reason)) == 1


async def quantities(reader: Reader, order_id: UUID) -> dict[UUID, int]:
    """Return the quantity of each product in an order."""
    items = await reader.all(_QUANTITIES, ByOrder(order_id))
    return {item.product_id: item.quantity for item in items}


async def standing(reader: Reader, order_id: UUID, caller_id: UUID | None) -> StandingRow | None:
    """Return who ordered, and what a user sells in an order; None when there is no order."""
    return await reader.first(_STANDING, AskedStanding(order_id, caller_id))


async def some_of_buyer(reader: Reader, user_id: UUID) -> list[UUID]:
    """Return some orders that a user has bought, the oldest first."""
    return [row.id for row in await reader.all(_SOME_OF_BUYER, ByUser(user_id))]


async def forget_buyer(tx: Transaction, *, user_id: UUID, some: Sequence[UUID]) -> None:
    """Take the buyer out of some orders."""
    # The orders first: whoever changes a refund or a shipment has locked its order.
    await tx.execute(_PSEUDONYMISE, OrdersOfUser(user_id, list(some)))
    for statement in (_FORGET_REASONS, _FORGET_TRACKING):
        await tx.execute(statement, SomeOrders(list(some)))


async def some_of_seller(reader: Reader, user_id: UUID) -> list[UUID]:
    """Return some orders with lines that a user sold."""
    return [row.id for row in await reader.all(_SOME_OF_SELLER, ByUser(user_id))]


async def forget_seller(tx: Transaction, *, user_id: UUID, some: Sequence[UUID]) -> None:
    """Take the seller out of the lines of some orders."""
    await tx.execute(_FORGET_SELLER, OrdersOfUser(user_id, list(some)))
