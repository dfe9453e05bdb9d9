"""The sagas of refunds: T1 has written the refund, and the money goes back to the wallet.

The refund has the saga's id, and so has its transfer: however often it is sent, money moves
once. A cancellation goes forward only: what it takes from sellers is pending, so nobody can
have spent it. A return has one refusal: a seller has spent the share. The wallet keeps that
refusal for ever, so there is nothing to compensate. Whatever else a wallet answers takes no
refund back: it is sent until it is done, and leaves a parked saga for an operator.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb

from services.commerce.domain import refunds
from services.commerce.domain import shares as order_shares
from services.commerce.errors import ShareSpent
from services.commerce.model import Order, Refund
from services.commerce.sagas.kinds import CANCELLATION, RETURN, OrderPayload
from services.commerce.sagas.wallets import Wallets
from services.commerce.store import fulfilment, orders, shares, users
from services.kernel.audit import log
from services.kernel.db.database import Transaction
from services.kernel.errors import Internal
from services.kernel.sagas.model import RunningSaga
from services.kernel.sagas.protocol import ForwardOnlySaga, Rejected, ReversibleSaga


@dataclass(frozen=True, slots=True)
class CancellationSaga(ForwardOnlySaga[OrderPayload, Order]):
    """The saga of products that are cancelled."""

    wallets: Wallets

    kind = CANCELLATION

    async def forward(self, saga: RunningSaga[OrderPayload]) -> None:
        """Give back what the products cost; a refund that is refused is sent again."""
        order, refund = await _refund_of(saga)
        if not refund.amount:
            return
        assert order.debit_id is not None
        transfer = await self.wallets.refund(
            refund_id=saga.id,
            debit_id=order.debit_id,
            amount=refund.amount,
            shares=await shares.of_refund(saga.database, saga.id),
        )
        if transfer.state != wallet_pb.TRANSFER_STATE_POSTED:
            raise Internal("The refund was not posted.")

    async def complete(self, tx: Transaction, saga: RunningSaga[OrderPayload]) -> Order:
        """Make the refund DONE."""
        return await _end(tx, saga)


@dataclass(frozen=True, slots=True)
class ReturnSaga(ReversibleSaga[OrderPayload, None, Order]):
    """The saga of products that came back."""

    wallets: Wallets

    kind = RETURN
    deadline = None

    async def forward(self, saga: RunningSaga[OrderPayload]) -> None:
        """Give back what the products cost, unless a seller has spent the share."""
        order, refund = await _refund_of(saga)
        if not refund.amount:
            return
        assert order.debit_id is not None
        given = await shares.of_refund(saga.database, saga.id)
        if given:
            await self._release(saga, order, refund)
        transfer = await self.wallets.refund(
            refund_id=saga.id,
            debit_id=order.debit_id,
            amount=refund.amount,
            shares=given,
            is_released=True,
        )
        if transfer.state != wallet_pb.TRANSFER_STATE_POSTED:
            raise Rejected(ShareSpent())

    async def _release(self, saga: RunningSaga[OrderPayload], order: Order, refund: Refund) -> None:
        """Release what is still pending of the products: it may be on its way."""
        assert order.debit_id is not None
        lines = await fulfilment.lines(saga.database, saga.payload.order_id)
        products = [each.product_id for each in refund.items]
        for shipment_id, given in order_shares.of_shipments(lines, products).items():
            await self.wallets.release(
                shipment_id=shipment_id, debit_id=order.debit_id, shares=given
            )

    async def complete(
        self,
        tx: Transaction,
        saga: RunningSaga[OrderPayload],
        answer: None,  # noqa: ARG002 - the wallet has done as it was asked
    ) -> Order:
        """Make the refund DONE."""
        order = await _end(tx, saga)
        facts = {"order": str(saga.payload.order_id)}
        await log.conclude(tx, saga.id, "order_refunded", facts, user_id=order.user_id)
        return order

    async def compensate(self, saga: RunningSaga[OrderPayload]) -> None:
        """Send nothing: a wallet has refused, and keeps its refusal."""

    async def undo(self, tx: Transaction, saga: RunningSaga[OrderPayload]) -> None:
        """Let the products be with the buyer as before."""
        order_id = saga.payload.order_id
        await _lock(tx, saga)
        await refunds.take_back(tx, order_id, refund_id=saga.id)
        facts = {"order": str(order_id)}
        buyer = (await orders.get_known(tx, order_id)).user_id
        await log.conclude(tx, saga.id, "order_refund_refused", facts, user_id=buyer)


async def _refund_of(saga: RunningSaga[OrderPayload]) -> tuple[Order, Refund]:
    order = await orders.get_known(saga.database, saga.payload.order_id)
    (refund,) = (each for each in order.refunds if each.id == saga.id)
    return order, refund


async def _end(tx: Transaction, saga: RunningSaga[OrderPayload]) -> Order:
    await _lock(tx, saga)
    await refunds.end(tx, saga.payload.order_id, refund_id=saga.id)
    return await orders.get_known(tx, saga.payload.order_id)


async def _lock(tx: Transaction, saga: RunningSaga[OrderPayload]) -> None:
    if saga.saga.user_id is not None:  # None: the buyer was forgotten before
        await users.lock_known(tx, saga.saga.user_id)
