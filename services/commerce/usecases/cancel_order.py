"""Cancel a paid order: the money goes back to the wallet, the goods to the stock."""

from __future__ import annotations

from uuid import UUID

from services.commerce.model import Order, OrderState
from services.commerce.sagas.cancellation import CancellationSaga
from services.commerce.sagas.codec import order_of, payload_of
from services.commerce.store import orders
from services.commerce.usecases.get_order import GetOrder
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState
from services.kernel.ids import new_id
from services.kernel.rpc.call import UserPrincipal
from services.kernel.sagas import idempotency
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.protocol import NewSaga


class CancelOrder:
    """Cancels orders: one's own, or any for administrators.

    Args:
        database: Commerce's.
        engine: Drives the sagas.
        get_order: Says whose an order is.
    """

    def __init__(self, database: Database, engine: SagaEngine, get_order: GetOrder) -> None:
        """See the class."""
        self._database = database
        self._engine = engine
        self._get_order = get_order

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
        order = await self._get_order(caller=caller, order_id=order_id)
        if key is not None:
            await idempotency.find(self._database, key)  # refuses one of another request
        if order.state is OrderState.PAID:
            try:
                return await self._run(order, key)
            except _NoLongerPaid:
                order = await self._get_order(caller=caller, order_id=order_id)
        return await self._follow(order)

    async def _follow(self, order: Order) -> Order:
        if order.state is OrderState.CANCELLED:
            return order
        if order.state is not OrderState.CANCELLING:
            raise IllegalState("Only a paid order can be cancelled.")
        assert order.refund_id is not None
        return order_of((await self._engine.attach(order.refund_id)).unwrap())

    async def _run(self, order: Order, key: RequestKey | None) -> Order:
        order_id, saga_id = order.id, new_id()
        assert order_id is not None

        async def initial_change(tx: Transaction) -> None:
            await _begin(tx, order_id, saga_id, key)

        outcome = await self._engine.run(
            NewSaga(
                id=saga_id,
                kind=CancellationSaga.kind,
                payload=payload_of(order_id),
                user_id=order.user_id,
                initial_change=initial_change,
            )
        )
        return order_of(outcome.unwrap())


async def _begin(tx: Transaction, order_id: UUID, saga_id: UUID, key: RequestKey | None) -> None:
    if key is not None:
        await idempotency.claim(tx, key, saga_id=saga_id)
    if not await orders.begin_cancel(tx, order_id, refund_id=saga_id):
        raise _NoLongerPaid


class _NoLongerPaid(Exception):
    """Somebody else cancels it; internal to this module."""
