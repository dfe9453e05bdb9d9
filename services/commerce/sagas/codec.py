"""How the sagas of orders keep what they are about, and what the caller is told."""

from __future__ import annotations

from uuid import UUID

from pydantic import TypeAdapter

from services.commerce.model import Order
from services.commerce.store import orders
from services.kernel.db.database import Reader
from services.kernel.sagas.model import Json, Saga

_ORDER = TypeAdapter(Order)


def payload_of(order_id: UUID) -> Json:
    """Return the payload of a saga about an order."""
    return {"order_id": str(order_id)}


def order_id_of(saga: Saga) -> UUID:
    """Return which order a saga is about."""
    return UUID(saga.payload["order_id"])


async def order_record(reader: Reader, order_id: UUID) -> Json:
    """Return an order as a saga's result."""
    order = await orders.get(reader, order_id)
    assert order is not None
    record: Json = _ORDER.dump_python(order, mode="json")
    return record


def order_of(result: Json) -> Order:
    """Read the result of a saga."""
    return _ORDER.validate_python(result)
