"""Cancel an order or a part of it: the goods go back to the stock, the money to the wallet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.commerce.domain import order_rules
from services.commerce.domain.refunds import WantedRefund
from services.commerce.domain.standing import OrderStanding
from services.commerce.model import Order, OrderState, RefundItem, RefundKind
from services.commerce.sagas.kinds import CANCELLATION, OrderPayload, new_refund
from services.commerce.store import fulfilment, orders
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import DomainError, RequestInProgress
from services.kernel.rpc.call import Caller, Origin
from services.kernel.sagas import idempotency
from services.kernel.sagas.idempotency import EarlierRequest, RequestKey
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.protocol import DedupKey
from services.kernel.sagas.requests import IdempotencyKey, Requests

_GONE = frozenset({OrderState.CANCELLING, OrderState.CANCELLED})


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancels what is not shipped: buyers all of it, sellers their own lines."""

    database: Database
    requests: Requests

    async def __call__(
        self,
        *,
        caller: Caller,
        order_id: UUID,
        items: Sequence[RefundItem],
        origin: Origin,
        key: RequestKey | None,
    ) -> Order:
        """Cancel products of an order and return it; a cancelled order stays cancelled.

        Args:
            caller: The caller.
            order_id: The order.
            items: The products; none: all that the caller may cancel.
            origin: The caller, for the audit log.
            key: Names the request.

        Raises:
            OrderNotFound: There is no such order, or the caller has nothing to do with it.
            IllegalState: It was never paid, is not paid yet, or is shipped.
            InvalidField: A product is not the caller's, or less of it is left.
            RefundInProgress: Another refund of the order is in flight.
            QuantityLimit: The order has too many refunds.
            SessionEnded: The caller's account was deleted at the same moment.
            EtagMismatch: The account of another buyer was deleted at the same moment.
            DeadlineExceeded, RequestInProgress: It will be cancelled; the refund takes time.
        """
        standing = await OrderStanding.of(self.database, caller, order_id)

        async def prepare() -> NewSaga[OrderPayload, Order]:
            wanted = WantedRefund(RefundKind.CANCEL, items, standing.cancellable)
            return new_refund(CANCELLATION, standing, order_id, wanted, origin)

        named: DedupKey[Order] = IdempotencyKey(key)
        if not items:
            named = OrderRowKey(order_id, IdempotencyKey(key))
        order = await self.requests.run_once(CANCELLATION, named, prepare)
        return standing.seen(order)


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
        """Lock the order, unless another saga cancels all of it or has done so.

        Raises:
            IllegalState: It is not paid.
        """
        if (earlier := await self.key.take(tx, saga_id)) is not None:
            return earlier
        order = await fulfilment.lock(tx, self.order_id)
        order_rules.ensure_paid(order.state, "cancelled")
        if order.state not in _GONE:
            return None
        await idempotency.free(tx, saga_id)
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
