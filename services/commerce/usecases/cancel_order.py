"""Cancel a paid order: the money goes back to the wallet, the goods to the stock."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import Order, OrderState
from services.commerce.sagas.kinds import CANCELLATION, OrderPayload
from services.commerce.store import orders
from services.commerce.usecases.get_order import GetOrder
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import DomainError, IllegalState, RequestInProgress
from services.kernel.rpc.call import UserPrincipal
from services.kernel.sagas import idempotency
from services.kernel.sagas.idempotency import Earlier, RequestKey
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import IdempotencyKey, Requests


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancels orders: one's own, or any for administrators."""

    requests: Requests
    get_order: GetOrder

    async def __call__(
        self, *, caller: UserPrincipal, order_id: UUID, key: RequestKey | None
    ) -> Order:
        """Cancel an order and return it; one that is cancelled already stays so.

        Raises:
            OrderNotFound: There is none.
            Forbidden: It is somebody else's, and the caller is no administrator.
            IllegalState: It was never paid, or is not yet.
            DeadlineExceeded, RequestInProgress: It will be; the wallet takes its time.
        """

        async def prepare() -> NewSaga[OrderPayload, Order]:
            order = await self.get_order(caller=caller, order_id=order_id)
            if order.state in (OrderState.PENDING, OrderState.FAILED):
                raise _not_paid()
            return CANCELLATION.new(OrderPayload(order_id=order_id), user_id=order.user_id)

        row = OrderRowKey(order_id, IdempotencyKey(key))
        return await self.requests.run_once(CANCELLATION, row, prepare)


@dataclass(frozen=True, slots=True)
class OrderRowKey:
    """The row of an order, which one saga cancels; before it comes the idempotency key.

    The row is looked at in T1 only, after the check whose order it is.
    """

    order_id: UUID
    key: IdempotencyKey

    async def find(self, reader: Reader) -> Earlier | None:
        """Return what is kept with the idempotency key."""
        return await self.key.find(reader)

    async def take(self, tx: Transaction, saga_id: UUID) -> Earlier | None:
        """Make the order CANCELLING, unless it is or was cancelled.

        Raises:
            IllegalState: It is not paid.
        """
        if (earlier := await self.key.take(tx, saga_id)) is not None:
            return earlier
        if await orders.begin_cancel(tx, self.order_id, refund_id=saga_id):
            return None
        await idempotency.free(tx, saga_id)
        order = await orders.get_known(tx, self.order_id)
        if order.refund_id is None:
            raise _not_paid()
        return Earlier(saga_id=order.refund_id)

    async def keep(self, database: Database, error: DomainError) -> Earlier | None:
        """Keep the refusal with the idempotency key."""
        return await self.key.keep(database, error)

    async def gone(self, reader: Reader) -> Order:
        """Return the order, which was cancelled long ago."""
        order = await orders.get_known(reader, self.order_id)
        if order.state is not OrderState.CANCELLED:
            raise RequestInProgress
        return order


def _not_paid() -> IllegalState:
    return IllegalState("Only a paid order can be cancelled.")
