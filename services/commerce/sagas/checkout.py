"""The checkout saga: an order, its goods and its money, all of it or nothing.

T1 has written the order, taken the stock and kept the prices; what is left is one
debit. Its transfer has the saga's id, so that however often it is sent, and by
whomever, money moves once.
"""

from __future__ import annotations

from uuid import UUID

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce.errors import InsufficientFunds, PaymentUnavailable
from services.commerce.sagas.codec import order_id_of, order_record
from services.commerce.store import carts, orders, products
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DomainError, SagaCancelled
from services.kernel.money import to_wire
from services.kernel.sagas.model import Json, Saga
from services.kernel.sagas.protocol import Rejected
from services.kernel.sagas.remote import saga_step


class CheckoutSaga:
    """See the module.

    Args:
        database: Where the orders are.
        wallets: Profile's, called with Commerce's identity.
        currency: Of every amount.
    """

    kind = "checkout"
    deadline_seconds: float | None = 5.0

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
        """Debit the wallet with what the order cost when it was placed."""
        order = await orders.get(self._database, order_id_of(saga))
        assert order is not None
        if order.total:  # a wallet moves no nothing
            await self._debit(saga, order.total)
        return {}

    async def _debit(self, saga: Saga, total: int) -> None:
        request = wallet_pb.DebitWalletRequest(
            transfer_id=str(saga.id),
            user_id=str(saga.user_id),
            amount=to_wire(total, self._currency),
            reference=str(order_id_of(saga)),
        )
        assert saga.not_after is not None
        request.not_after.FromDatetime(saga.not_after)
        try:
            with saga_step():
                transfer = await self._wallets.DebitWallet(request)
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
        saga: Saga,
        replies: Json,  # noqa: ARG002 - the wallet's answer says no more than that it is done
    ) -> Json:
        """Make the order PAID, and take out of the cart what was ordered."""
        order_id, user_id = order_id_of(saga), _user_id(saga)
        await carts.touch(tx, user_id)  # the cart's lock before the order's, as everywhere
        if await orders.pay(tx, order_id):
            await carts.reduce(tx, user_id=user_id, order_id=order_id)
        return await order_record(tx, order_id)

    async def compensate(self, saga: Saga) -> None:
        """Void the debit, also when it was refused: a duplicate may come later."""
        await self._wallets.VoidTransfer(wallet_pb.VoidTransferRequest(transfer_id=str(saga.id)))

    async def undo(self, tx: Transaction, saga: Saga) -> None:
        """Make the order FAILED, and give the goods back."""
        order_id = order_id_of(saga)
        assert saga.error is not None
        if await orders.fail(tx, order_id, reason=saga.error.reason):
            await products.release(tx, await orders.quantities(tx, order_id))

    def unavailable(self) -> DomainError:
        """Say that nothing was ordered or charged."""
        return PaymentUnavailable()


def _user_id(saga: Saga) -> UUID:
    assert saga.user_id is not None
    return saga.user_id
