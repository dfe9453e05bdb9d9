"""The events of Commerce: what to tell others once it is final (see `kernel.events.writer`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from google.protobuf.message import Message
from lockstep.commerce.v1 import event_service_pb2
from lockstep.events.v1 import commerce_events_pb2 as pb

from services.kernel.db.database import Database
from services.kernel.events.servicer import EventServicer
from services.kernel.events.writer import Fact

SERVICE = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]
MESSAGES = pb.DESCRIPTOR.message_types_by_name
TYPES = frozenset(message.full_name for message in MESSAGES.values())

_RefundEvent = type[pb.OrderPartlyCancelled] | type[pb.OrderCancelled] | type[pb.OrderReturned]


class BoughtOrder(Protocol):
    """What an event says of an order."""

    @property
    def id(self) -> UUID:
        """The id."""

    @property
    def number(self) -> str:
        """What people call it."""

    @property
    def user_id(self) -> UUID | None:
        """The buyer; None: the buyer was forgotten."""


def servicer(database: Database) -> EventServicer:
    """Return the servicer of EventService."""
    return EventServicer(database, TYPES)


def product_created(product_id: UUID, *, seller_id: UUID | None) -> Fact:
    """Tell that a product was created."""
    message = pb.ProductCreated(product_id=str(product_id), seller_id=_text(seller_id))
    return _of_product(product_id, message)


def product_changed(product_id: UUID, *, fields: Iterable[str]) -> Fact:
    """Tell that fields of a product have changed."""
    message = pb.ProductChanged(product_id=str(product_id), changed_fields=sorted(fields))
    return _of_product(product_id, message)


def product_deleted(product_id: UUID) -> Fact:
    """Tell that a product was taken out of the catalog, which happens once."""
    message = pb.ProductDeleted(product_id=str(product_id))
    return _of_product(product_id, message, key=product_id)


def product_stock_out(product_id: UUID) -> Fact:
    """Tell that nothing of a product is left."""
    return _of_product(product_id, pb.ProductStockOut(product_id=str(product_id)))


def product_stock_back(product_id: UUID) -> Fact:
    """Tell that something of a product is left again."""
    return _of_product(product_id, pb.ProductStockBack(product_id=str(product_id)))


def order_paid(order_id: UUID, *, number: str, user_id: UUID, total: int) -> Fact:
    """Tell that an order is paid."""
    message = pb.OrderPaid(
        order_id=str(order_id), user_id=str(user_id), total=total, order_number=number
    )
    return _of_order(order_id, message)


def order_fulfilled(order: BoughtOrder) -> Fact:
    """Tell that all of an order that was not cancelled is shipped, which happens once."""
    message = pb.OrderFulfilled(
        order_id=str(order.id), user_id=_text(order.user_id), order_number=order.number
    )
    return _of_order(order.id, message, key=order.id)


def order_partly_cancelled(order: BoughtOrder, refund_id: UUID) -> Fact:
    """Tell that a part of an order is cancelled."""
    return _of_refund(pb.OrderPartlyCancelled, order, refund_id)


def order_cancelled(order: BoughtOrder, refund_id: UUID) -> Fact:
    """Tell that all of an order is cancelled."""
    return _of_refund(pb.OrderCancelled, order, refund_id)


def order_returned(order: BoughtOrder, refund_id: UUID) -> Fact:
    """Tell that products of an order came back."""
    return _of_refund(pb.OrderReturned, order, refund_id)


def _of_refund(kind: _RefundEvent, order: BoughtOrder, refund_id: UUID) -> Fact:
    message = kind(
        order_id=str(order.id),
        refund_id=str(refund_id),
        user_id=_text(order.user_id),
        order_number=order.number,
    )
    return _of_order(order.id, message)


def _text(optional_id: UUID | None) -> str:
    return "" if optional_id is None else str(optional_id)


def _of_product(product_id: UUID, message: Message, *, key: UUID | None = None) -> Fact:
    return Fact(f"products/{product_id}", message, key)


def _of_order(order_id: UUID, message: Message, *, key: UUID | None = None) -> Fact:
    return Fact(f"orders/{order_id}", message, key)
