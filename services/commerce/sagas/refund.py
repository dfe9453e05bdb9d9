"""The sagas of refunds: T1 has written the refund, and the money goes back to the wallet.

They go forward only. T1 has promised the refund, so nothing that the wallet answers takes it
back: the refund is sent until it is done, and a wallet that refuses leaves a parked saga for
an operator. The refund has the saga's id, and so has its transfer: however often it is sent,
money moves once.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce.domain import refunds
from services.commerce.model import Order
from services.commerce.sagas.kinds import CANCELLATION, RETURN, OrderPayload
from services.commerce.store import orders, users
from services.kernel.db.database import Transaction
from services.kernel.errors import Internal
from services.kernel.money import Currency, to_wire
from services.kernel.sagas.model import RunningSaga
from services.kernel.sagas.protocol import ForwardOnlySaga


@dataclass(frozen=True, slots=True)
class _RefundSaga(ForwardOnlySaga[OrderPayload, Order]):
    wallets: wallet_grpc.WalletServiceAsyncStub
    currency: Currency

    async def forward(self, saga: RunningSaga[OrderPayload]) -> None:
        """Give back what the products cost; a refund that is refused is sent again."""
        order = await orders.get_known(saga.database, saga.payload.order_id)
        (amount,) = (each.amount for each in order.refunds if each.id == saga.id)
        if not amount:
            return
        transfer = await self.wallets.RefundWallet(
            wallet_pb.RefundWalletRequest(
                transfer_id=str(saga.id),
                original_id=str(order.debit_id),
                amount=to_wire(amount, self.currency),
            )
        )
        if transfer.state != wallet_pb.TRANSFER_STATE_POSTED:
            raise Internal("The refund was not posted.")

    async def complete(self, tx: Transaction, saga: RunningSaga[OrderPayload]) -> Order:
        """Make the refund DONE."""
        order_id = saga.payload.order_id
        if saga.saga.user_id is not None:  # None: the buyer was forgotten before
            await users.lock_known(tx, saga.saga.user_id)
        await refunds.end(tx, order_id, refund_id=saga.id)
        return await orders.get_known(tx, order_id)


@dataclass(frozen=True, slots=True)
class CancellationSaga(_RefundSaga):
    """The saga of products that are cancelled."""

    kind = CANCELLATION


@dataclass(frozen=True, slots=True)
class ReturnSaga(_RefundSaga):
    """The saga of products that came back."""

    kind = RETURN
