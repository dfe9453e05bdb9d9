"""The kinds of sagas about an order, and the types of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import pydantic

from services.commerce.domain import refunds
from services.commerce.domain.refunds import WantedRefund
from services.commerce.domain.standing import OrderStanding
from services.commerce.model import Order, RefundKind
from services.commerce.store import fulfilment
from services.commerce.store.fulfilment import OrderLine
from services.kernel.audit import log
from services.kernel.db.database import Transaction
from services.kernel.errors import EtagMismatch
from services.kernel.rpc.call import Origin
from services.kernel.sagas.model import STORED, NewSaga, Nothing, SagaKind


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class OrderPayload:
    """The order that a saga is about."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """What the process that has placed an order remembers of it."""

    lines: Sequence[OrderLine]


# Version 1, of 0.1, knew no partial refunds: its orders have fewer fields.
CHECKOUT: Final = SagaKind("checkout", OrderPayload, Order, version=2, since=1)
CANCELLATION: Final = SagaKind("cancellation", OrderPayload, Order, version=2, since=1)
# One of version 1 has no shares, so that no wallet refuses it.
RETURN: Final = SagaKind("return", OrderPayload, Order, version=2, since=1)
RELEASE: Final = SagaKind("release", OrderPayload, Nothing, version=1)


def new_refund(
    kind: SagaKind[OrderPayload, Order],
    standing: OrderStanding,
    order_id: UUID,
    wanted: WantedRefund,
    origin: Origin,
) -> NewSaga[OrderPayload, Order]:
    """Return a saga that begins with the refund of an order of the locked buyer."""

    async def begin(tx: Transaction, saga_id: UUID) -> None:
        order = await fulfilment.lock(tx, order_id)
        if order.user_id != standing.buyer_id:
            raise EtagMismatch  # the buyer was forgotten: the order is not the buyer's any more
        amount = await refunds.begin(tx, order, wanted, refund_id=saga_id)
        if wanted.kind is RefundKind.RETURN:
            by = log.by(origin)
            event = "order_refund_requested"
            await log.begin(tx, saga_id, event, user_id=order.user_id, **by)
            return
        # It cannot be refused any more, so this is the moment of the change.
        await log.write(
            tx,
            "order_cancelled",
            {"order": str(order_id), "amount": amount},
            user_id=order.user_id,
            entry_id=saga_id,
            **log.by(origin),
        )

    return kind.new(
        OrderPayload(order_id=order_id),
        user_id=standing.buyer_id,
        lock=standing.lock,
        initial_change=begin,
    )
