"""Cancel a paid order: the money goes back to the wallet, the goods to the stock."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from services.commerce.model import Order, OrderState
from services.commerce.sagas.kinds import CANCELLATION, OrderPayload
from services.commerce.store import orders, users
from services.commerce.usecases.get_order import GetOrder
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import (
    DomainError,
    EtagMismatch,
    IllegalState,
    RequestInProgress,
    SessionEnded,
)
from services.kernel.rpc.call import Caller
from services.kernel.sagas import idempotency
from services.kernel.sagas.idempotency import EarlierRequest, RequestKey
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import IdempotencyKey, Requests


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancels orders: one's own, or any for administrators."""

    requests: Requests
    get_order: GetOrder

    async def __call__(self, *, caller: Caller, order_id: UUID, key: RequestKey | None) -> Order:
        """Cancel an order and return it; a cancelled order stays cancelled.

        Raises:
            OrderNotFound: There is no such order, or it is another user's and the caller is
                not an administrator.
            IllegalState: It was never paid, or is not paid yet.
            SessionEnded: The caller's account was deleted at the same moment.
            EtagMismatch: The account of another buyer was deleted at the same moment.
            DeadlineExceeded, RequestInProgress: It will be cancelled; the refund takes time.
        """

        async def prepare() -> NewSaga[OrderPayload, Order]:
            order = await self.get_order(caller=caller, order_id=order_id)
            if order.state in (OrderState.PENDING, OrderState.FAILED):
                raise _not_paid()
            return CANCELLATION.new(
                OrderPayload(order_id=order_id),
                user_id=order.user_id,
                lock=partial(_lock_buyer, order.user_id, caller),
            )

        row = OrderRowKey(order_id, IdempotencyKey(key))
        return await self.requests.run_once(CANCELLATION, row, prepare)


@dataclass(frozen=True, slots=True)
class OrderRowKey:
    """The row of an order, which one saga cancels. The idempotency key comes before it.

    The row matters in T1 only: by then it is known that the caller may see the order.
    """

    order_id: UUID
    key: IdempotencyKey

    async def find(self, reader: Reader) -> EarlierRequest | None:
        """Return the earlier request with the same idempotency key."""
        return await self.key.find(reader)

    async def take(self, tx: Transaction, saga_id: UUID) -> EarlierRequest | None:
        """Make the order CANCELLING, unless another saga cancels it or has done so.

        Raises:
            IllegalState: It is not paid.
        """
        if (earlier := await self.key.take(tx, saga_id)) is not None:
            return earlier
        if await orders.begin_cancel(tx, self.order_id, refund_id=saga_id):
            return None
        await idempotency.free(tx, saga_id)
        order = await orders.get_known(tx, self.order_id)
        if order.state is OrderState.PAID:
            raise EtagMismatch  # the saga is about somebody whose order it is not any more
        if order.refund_id is None:
            raise _not_paid()
        return EarlierRequest(saga_id=order.refund_id)

    async def keep(self, database: Database, error: DomainError) -> EarlierRequest | None:
        """Keep the refusal with the idempotency key."""
        return await self.key.keep(database, error)

    async def gone(self, reader: Reader) -> Order:
        """Return the order, which was cancelled long ago."""
        order = await orders.get_known(reader, self.order_id)
        if order.state is not OrderState.CANCELLED:
            raise RequestInProgress
        return order


async def _lock_buyer(buyer_id: UUID | None, caller: Caller, tx: Transaction) -> None:
    if buyer_id is None:  # forgotten: only an administrator can see the order
        return
    try:
        await users.lock(tx, buyer_id)
    except SessionEnded:
        if buyer_id == caller.own_id:
            raise
        raise EtagMismatch from None  # an administrator's session goes on


def _not_paid() -> IllegalState:
    return IllegalState("Only a paid order can be cancelled.")
