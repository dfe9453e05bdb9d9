"""The cancellation saga: the money back to the wallet, then the goods to the stock.

It goes forward only. T1 has promised the refund, so nothing that the wallet answers
makes the order PAID again: the refund is sent until it is done, and a wallet that
refuses leaves a parked saga for an operator.
"""

from __future__ import annotations

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce.sagas.codec import order_id_of, order_record
from services.commerce.store import orders, products
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import Internal
from services.kernel.money import to_wire
from services.kernel.sagas.forward_only import ForwardOnly
from services.kernel.sagas.model import Json, Saga


class CancellationSaga(ForwardOnly):
    """See the module.

    Args:
        database: Where the orders are.
        wallets: Profile's, called with Commerce's identity.
        currency: Of every amount.
    """

    kind = "cancellation"

    def __init__(
        self,
        database: Database,
        wallets: wallet_grpc.WalletServiceAsyncStub,
        *,
        currency: str,
    ) -> None:
        """See the class."""
        self._database = database
        self._wallets = wallets
        self._currency = currency

    async def forward(self, saga: Saga) -> Json:
        """Refund what the order cost; a refusal is no `Rejected`, so it is sent again."""
        order = await orders.get(self._database, order_id_of(saga))
        assert order is not None
        if order.total:
            transfer = await self._wallets.RefundWallet(
                wallet_pb.RefundWalletRequest(
                    transfer_id=str(saga.id),
                    original_id=str(order.debit_id),
                    amount=to_wire(order.total, self._currency),
                )
            )
            if transfer.state != wallet_pb.TRANSFER_STATE_POSTED:
                raise Internal("The refund was not posted.")
        return {}

    async def complete(
        self,
        tx: Transaction,
        saga: Saga,
        replies: Json,  # noqa: ARG002 - the wallet's answer says no more than that it is done
    ) -> Json:
        """Make the order CANCELLED, and give the goods back."""
        order_id = order_id_of(saga)
        if await orders.cancel(tx, order_id):
            await products.release(tx, await orders.quantities(tx, order_id))
        return await order_record(tx, order_id)
