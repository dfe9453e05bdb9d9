"""The checkout saga: an order, its goods and its money, all of it or nothing.

T1 has written the order, taken the stock and kept the prices; what is left is one
debit. Its transfer has the saga's id, so that however often it is sent, and by
whomever, money moves once.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce.errors import InsufficientFunds, PaymentUnavailable
from services.commerce.model import Order
from services.commerce.sagas.kinds import CHECKOUT, OrderPayload
from services.commerce.store import carts, orders, products, users
from services.kernel.db.database import Transaction
from services.kernel.errors import SagaCancelled
from services.kernel.money import to_wire
from services.kernel.rpc.timestamps import timestamp
from services.kernel.sagas.model import RunningSaga
from services.kernel.sagas.protocol import Deadline, Rejected, ReversibleSaga
from services.kernel.sagas.remote import saga_step


@dataclass(frozen=True, slots=True)
class CheckoutSaga(ReversibleSaga[OrderPayload, None, Order]):
    """See the module."""

    wallets: wallet_grpc.WalletServiceAsyncStub
    currency: str

    kind = CHECKOUT
    deadline = Deadline(seconds=5.0, error=PaymentUnavailable)

    async def forward(self, saga: RunningSaga[OrderPayload]) -> None:
        """Debit the wallet with what the order cost when it was placed."""
        order = await orders.get_known(saga.database, saga.payload.order_id)
        if order.total:  # A zero total needs no debit.
            await self._debit(saga, order.total)

    async def _debit(self, saga: RunningSaga[OrderPayload], total: int) -> None:
        request = wallet_pb.DebitWalletRequest(
            transfer_id=str(saga.id),
            user_id=str(saga.user_id),
            amount=to_wire(total, self.currency),
            reference=str(saga.payload.order_id),
            not_after=timestamp(saga.not_after),
        )
        try:
            with saga_step():
                transfer = await self.wallets.DebitWallet(request)
        except Rejected as refusal:
            if refusal.error.reason == SagaCancelled.reason:
                # Too late, or voided by a driver that was faster.
                raise Rejected(PaymentUnavailable()) from refusal
            raise
        if transfer.state != wallet_pb.TRANSFER_STATE_POSTED:
            raise Rejected(InsufficientFunds())

    async def complete(
        self,
        tx: Transaction,
        saga: RunningSaga[OrderPayload],
        answer: None,  # noqa: ARG002 - the wallet has done as it was asked
    ) -> Order:
        """Make the order PAID, and take out of the cart what was ordered."""
        order_id = saga.payload.order_id
        await users.lock_known(tx, saga.user_id)
        if await orders.pay(tx, order_id):
            await carts.touch(tx, saga.user_id)
            await carts.reduce(tx, user_id=saga.user_id, order_id=order_id)
        return await orders.get_known(tx, order_id)

    async def compensate(self, saga: RunningSaga[OrderPayload]) -> None:
        """Void the debit, also when it was refused: a duplicate may come later."""
        await self.wallets.VoidTransfer(wallet_pb.VoidTransferRequest(transfer_id=str(saga.id)))

    async def undo(self, tx: Transaction, saga: RunningSaga[OrderPayload]) -> None:
        """Make the order FAILED, and give the goods back."""
        order_id = saga.payload.order_id
        await users.lock_known(tx, saga.user_id)
        if await orders.fail(tx, order_id, reason=saga.error.reason):
            await products.release(tx, await orders.quantities(tx, order_id))
