"""Refund products that were shipped and came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.commerce.domain.refunds import WantedRefund
from services.commerce.domain.standing import OrderStanding
from services.commerce.model import Order, RefundItem, RefundKind
from services.commerce.sagas.kinds import RETURN, OrderPayload, new_refund
from services.kernel.db.database import Database
from services.kernel.rpc.call import Caller, Origin
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import IdempotencyKey, Requests


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Refunds what came back: sellers their own lines, administrators all."""

    database: Database
    requests: Requests

    async def __call__(
        self,
        *,
        caller: Caller,
        order_id: UUID,
        items: Sequence[RefundItem],
        reason: str,
        is_restocked: bool,
        origin: Origin,
        key: RequestKey | None,
    ) -> Order:
        """Refund products of an order and return it.

        Raises:
            OrderNotFound: There is no such order, or the caller has nothing to do with it.
            Forbidden: The caller sells nothing in it.
            IllegalState: A product is not shipped.
            InvalidField: A product is not the caller's, or less of it is left.
            RefundInProgress: Another refund of the order is in flight.
            QuantityLimit: The order has too many refunds.
            SessionEnded, EtagMismatch: The buyer's account was deleted at the same moment.
            DeadlineExceeded, RequestInProgress: It will be refunded; that takes time.
        """
        standing = await OrderStanding.of(self.database, caller, order_id)

        async def prepare() -> NewSaga[OrderPayload, Order]:
            wanted = WantedRefund(
                RefundKind.RETURN, items, standing.sold, is_restocked=is_restocked, reason=reason
            )
            return new_refund(RETURN, standing, order_id, wanted, origin)

        order = await self.requests.run_once(RETURN, IdempotencyKey(key), prepare)
        return standing.seen(order)
