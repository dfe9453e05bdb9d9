"""The kinds of sagas about an order, and the types of their rows."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import pydantic

from services.commerce.model import Order
from services.kernel.sagas.model import STORED, SagaKind


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class OrderPayload:
    """The order that a saga is about."""

    order_id: UUID


CHECKOUT: Final = SagaKind("checkout", OrderPayload, Order, version=1)
CANCELLATION: Final = SagaKind("cancellation", OrderPayload, Order, version=1)
