"""The cancellation saga: the money back to the wallet, then the goods to the stock.

It goes forward only. T1 has promised the refund, so nothing that the wallet answers
makes the order PAID again: the refund is sent until it is done, and a wallet that
refuses leaves a parked saga for an operator.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce.model import Order
from services.commerce.sagas.kinds import CANCELLATION, OrderPayload
from services.commerce.store import orders, products, users
from services.kernel.db.database import Transaction
from services.kernel.errors import Internal
from services.kernel.money import Currency, to_wire
from services.kernel.sagas.model import RunningSaga
from services.kernel.sagas.protocol import ForwardOnlySaga


@dataclass(frozen=True, slots=True)
class CancellationSaga(ForwardOnlySaga[OrderPayload, Order]):
    """See the module."""

    wallets: wallet_grpc.WalletServiceAsyncStub
    currency: Currency

    kind = CANCELLATION

    async def forward(self, saga: RunningSaga[OrderPayload]) -> None:
        """Refund what the order cost; a refund that is refused is sent again."""
        order = await orders.get_known(saga.database, saga.payload.order_id)
        if not order.total:
            return
        transfer = await self.wallets.RefundWallet(
            wallet_pb.RefundWalletRequest(
                transfer_id=str(saga.id),
                original_id=str(order.debit_id),
                amount=to_wire(order.total, self.currency),
            )
        )
        if transfer.state != wallet_pb.TRANSFER_STATE_POSTED:
            raise Internal("The refund was not posted.")

    async def complete(self, tx: Transaction, saga: RunningSaga[OrderPayload]) -> Order:
        """Make the order CANCELLED, and give the goods back."""
        order_id = saga.payload.order_id
        if saga.saga.user_id is not None:  # None: the buyer was forgotten before
            await users.lock_known(tx, saga.saga.user_id)
        if await orders.cancel(tx, order_id):
            await products.release(tx, await orders.quantities(tx, order_id))
        return await orders.get_known(tx, order_id)
