"""Orders as a whole: with their lines, shipments and refunds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select

from services.commerce.model import (
    ORDER_ITEMS,
    ORDERS,
    REFUND_ITEMS,
    REFUNDS,
    SHIPMENTS,
    Order,
    OrderItem,
    OrderState,
    Refund,
    RefundItem,
    RefundKind,
    RefundState,
    Shipment,
)
from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement


@dataclass(frozen=True, slots=True)
class ByOrders:
    """The parameter of a statement about several orders."""

    order_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order without what belongs to it."""

    id: UUID
    user_id: UUID | None
    state: OrderState
    total: int
    failure_reason: str | None
    debit_id: UUID
    refund_id: UUID | None
    create_time: datetime
    number: str
    shipping_address: str
    pay_time: datetime | None


@dataclass(frozen=True, slots=True)
class OrderItemRow:
    """An item and the order that it is in."""

    order_id: UUID
    product_id: UUID
    name: str
    quantity: int
    unit_price: int
    cancelled_quantity: int
    returned_quantity: int
    shipment_id: UUID | None


@dataclass(frozen=True, slots=True)
class ShipmentRow:
    """A shipment without its products."""

    order_id: UUID
    id: UUID
    tracking: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class RefundRow:
    """A product of a refund, with the refund."""

    order_id: UUID
    id: UUID
    kind: RefundKind
    state: RefundState
    amount: int
    is_restocked: bool
    reason: str
    create_time: datetime
    product_id: UUID
    quantity: int


ORDER_COLUMNS = (
    ORDERS.c.id,
    ORDERS.c.user_id,
    ORDERS.c.state,
    ORDERS.c.total,
    ORDERS.c.failure_reason,
    ORDERS.c.debit_id,
    ORDERS.c.refund_id,
    ORDERS.c.create_time,
    ORDERS.c.number,
    ORDERS.c.shipping_address,
    ORDERS.c.pay_time,
)
ITEM_COLUMNS = (
    ORDER_ITEMS.c.order_id,
    ORDER_ITEMS.c.product_id,
    ORDER_ITEMS.c.name,
    ORDER_ITEMS.c.quantity,
    ORDER_ITEMS.c.unit_price,
    ORDER_ITEMS.c.cancelled_quantity,
    ORDER_ITEMS.c.returned_quantity,
    ORDER_ITEMS.c.shipment_id,
)
_IDS = func.any(bindparam("order_ids", type_=ARRAY(Uuid)))
_ITEMS = Statement(
    select(*ITEM_COLUMNS)
    .where(ORDER_ITEMS.c.order_id == _IDS)
    .order_by(ORDER_ITEMS.c.order_id, ORDER_ITEMS.c.position),
    ByOrders,
    OrderItemRow,
)
_SHIPMENTS = Statement(
    select(SHIPMENTS.c.order_id, SHIPMENTS.c.id, SHIPMENTS.c.tracking, SHIPMENTS.c.create_time)
    .where(SHIPMENTS.c.order_id == _IDS)
    .order_by(SHIPMENTS.c.order_id, SHIPMENTS.c.create_time, SHIPMENTS.c.id),
    ByOrders,
    ShipmentRow,
)
_REFUNDS = Statement(
    select(
        REFUNDS.c.order_id,
        REFUNDS.c.id,
        REFUNDS.c.kind,
        REFUNDS.c.state,
        REFUNDS.c.amount,
        REFUNDS.c.is_restocked,
        REFUNDS.c.reason,
        REFUNDS.c.create_time,
        REFUND_ITEMS.c.product_id,
        REFUND_ITEMS.c.quantity,
    )
    .join_from(REFUNDS, REFUND_ITEMS, REFUND_ITEMS.c.refund_id == REFUNDS.c.id)
    .where(REFUNDS.c.order_id == _IDS)
    .order_by(REFUNDS.c.order_id, REFUNDS.c.create_time, REFUNDS.c.id, REFUND_ITEMS.c.product_id),
    ByOrders,
    RefundRow,
)


async def whole(reader: Reader, rows: Sequence[OrderRow]) -> list[Order]:
    """Return orders with all that belongs to them; most have neither shipments nor refunds."""
    items = await reader.all(_ITEMS, ByOrders([row.id for row in rows]))
    lines = {order_id: list(group) for order_id, group in groupby(items, lambda i: i.order_id)}
    shipped = [each.order_id for each in items if each.shipment_id is not None]
    refunded = [
        each.order_id for each in items if each.cancelled_quantity or each.returned_quantity
    ]
    shipments = await _shipments(reader, shipped, items)
    refunds = await _refunds(reader, refunded)
    return [
        order_of(row, lines[row.id], shipments.get(row.id, ()), refunds.get(row.id, ()))
        for row in rows
    ]


async def _shipments(
    reader: Reader, order_ids: Sequence[UUID], items: Sequence[OrderItemRow]
) -> Mapping[UUID, Sequence[Shipment]]:
    if not order_ids:
        return {}
    products: dict[UUID | None, list[UUID]] = {}
    for each in items:
        products.setdefault(each.shipment_id, []).append(each.product_id)
    rows = await reader.all(_SHIPMENTS, ByOrders(sorted(set(order_ids))))
    return {
        order_id: [Shipment(r.id, products[r.id], r.tracking, r.create_time) for r in group]
        for order_id, group in groupby(rows, lambda row: row.order_id)
    }


async def _refunds(reader: Reader, order_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Refund]]:
    if not order_ids:
        return {}
    rows = await reader.all(_REFUNDS, ByOrders(sorted(set(order_ids))))
    return {
        order_id: [_refund(list(each)) for _, each in groupby(group, lambda row: row.id)]
        for order_id, group in groupby(rows, lambda row: row.order_id)
    }


def _refund(rows: Sequence[RefundRow]) -> Refund:
    first = rows[0]
    return Refund(
        id=first.id,
        kind=first.kind,
        state=first.state,
        items=[RefundItem(row.product_id, row.quantity) for row in rows],
        amount=first.amount,
        is_restocked=first.is_restocked,
        reason=first.reason,
        create_time=first.create_time,
    )


def order_of(
    row: OrderRow,
    items: Sequence[OrderItemRow],
    shipments: Sequence[Shipment] = (),
    refunds: Sequence[Refund] = (),
) -> Order:
    """Return an order of its rows and of what belongs to it."""
    return Order(
        id=row.id,
        user_id=row.user_id,
        state=row.state,
        items=[_item(each) for each in items],
        total=row.total,
        create_time=row.create_time,
        failure_reason=row.failure_reason,
        debit_id=row.debit_id,
        refund_id=row.refund_id,
        number=row.number,
        shipping_address=row.shipping_address,
        shipments=tuple(shipments),
        refunds=tuple(refunds),
        pay_time=row.pay_time,
    )


def _item(row: OrderItemRow) -> OrderItem:
    return OrderItem(
        product_id=row.product_id,
        name=row.name,
        quantity=row.quantity,
        unit_price=row.unit_price,
        cancelled_quantity=row.cancelled_quantity,
        is_fulfilled=row.shipment_id is not None,
        returned_quantity=row.returned_quantity,
    )
