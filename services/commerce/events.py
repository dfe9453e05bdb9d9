"""The events of Commerce: what to tell others once it is final (see `kernel.events.writer`)."""

from __future__ import annotations

from collections.abc import Iterable
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


def servicer(database: Database) -> EventServicer:
    """Return the servicer of EventService."""
    return EventServicer(database, TYPES)


def product_created(product_id: UUID, *, seller_id: UUID | None) -> Fact:
    """Tell that a product was created."""
    seller = "" if seller_id is None else str(seller_id)
    return _of_product(product_id, pb.ProductCreated(product_id=str(product_id), seller_id=seller))


def product_changed(product_id: UUID, *, fields: Iterable[str]) -> Fact:
    """Tell that fields of a product have changed."""
    message = pb.ProductChanged(product_id=str(product_id), changed_fields=sorted(fields))
    return _of_product(product_id, message)


def product_deleted(product_id: UUID) -> Fact:
    """Tell that a product was taken out of the catalog, which happens once."""
    message = pb.ProductDeleted(product_id=str(product_id))
    return _of_product(product_id, message, key=product_id)


def order_paid(order_id: UUID, *, user_id: UUID, total: int) -> Fact:
    """Tell that an order is paid."""
    message = pb.OrderPaid(order_id=str(order_id), user_id=str(user_id), total=total)
    return _of_order(order_id, message)


def order_fulfilled(order_id: UUID) -> Fact:
    """Tell that all of an order that was not cancelled is shipped, which happens once."""
    return _of_order(order_id, pb.OrderFulfilled(order_id=str(order_id)), key=order_id)


def order_partly_cancelled(order_id: UUID, refund_id: UUID) -> Fact:
    """Tell that a part of an order is cancelled."""
    message = pb.OrderPartlyCancelled(order_id=str(order_id), refund_id=str(refund_id))
    return _of_order(order_id, message)


def order_cancelled(order_id: UUID, refund_id: UUID) -> Fact:
    """Tell that all of an order is cancelled."""
    message = pb.OrderCancelled(order_id=str(order_id), refund_id=str(refund_id))
    return _of_order(order_id, message)


def order_returned(order_id: UUID, refund_id: UUID) -> Fact:
    """Tell that products of an order came back."""
    message = pb.OrderReturned(order_id=str(order_id), refund_id=str(refund_id))
    return _of_order(order_id, message)


def _of_product(product_id: UUID, message: Message, *, key: UUID | None = None) -> Fact:
    return Fact(f"products/{product_id}", message, key)


def _of_order(order_id: UUID, message: Message, *, key: UUID | None = None) -> Fact:
    return Fact(f"orders/{order_id}", message, key)
