"""The checkout saga: an order, its goods and its money, all of it or nothing.

T1 has written the order, taken the stock and kept the prices; what is left is one
debit. Its transfer has the saga's id, so that however often it is sent, and by
whomever, money moves once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb

from services.commerce import events
from services.commerce.domain import order_rules, shares
from services.commerce.domain.stock_events import stock_facts
from services.commerce.errors import InsufficientFunds, PaymentUnavailable
from services.commerce.model import Order
from services.commerce.sagas.kinds import CHECKOUT, OrderPayload, PlacedOrder
from services.commerce.sagas.wallets import Wallets
from services.commerce.store import checkouts, fulfilment, orders, products, users
from services.kernel.audit import log
from services.kernel.db.database import Transaction
from services.kernel.events.writer import tell
from services.kernel.money import to_wire
from services.kernel.rpc.timestamps import moment_of, timestamp
from services.kernel.sagas.model import RunningSaga
from services.kernel.sagas.protocol import Deadline, Rejected, ReversibleSaga
from services.kernel.sagas.remote import saga_step


@dataclass(frozen=True, slots=True)
class CheckoutSaga(ReversibleSaga[OrderPayload, datetime | None, Order]):
    """See the module."""

    wallets: Wallets

    kind = CHECKOUT
    deadline = Deadline(seconds=5.0, error=PaymentUnavailable)

    async def forward(self, saga: RunningSaga[OrderPayload]) -> datetime | None:
        """Debit the wallet with what the order cost when it was placed.

        Returns the time of the debit, by the clock of Profile.
        """
        placed = saga.remembered
        if isinstance(placed, PlacedOrder):
            lines = placed.lines
        else:
            lines = await fulfilment.lines(saga.database, saga.payload.order_id)
        total = order_rules.total(lines)
        # A zero total needs no debit.
        if not total:
            return None
        return await self._debit(saga, total, shares.of_order(lines))

    async def _debit(
        self, saga: RunningSaga[OrderPayload], total: int, given: shares.Shares
    ) -> datetime | None:
        request = wallet_pb.DebitWalletRequest(
            transfer_id=str(saga.id),
            user_id=str(saga.user_id),
            amount=to_wire(total, self.wallets.currency),
            reference=str(saga.payload.order_id),
            not_after=timestamp(saga.not_after),
            shares=self.wallets.messages(given),
        )
        with saga_step():
            transfer = await self.wallets.stub.DebitWallet(request)
        if transfer.state != wallet_pb.TRANSFER_STATE_POSTED:
            raise Rejected(InsufficientFunds())
        return moment_of(transfer, "create_time")

    def time_of(self, answer: datetime | None) -> datetime | None:
        """Return the time of the debit."""
        return answer

    async def complete(
        self,
        tx: Transaction,
        saga: RunningSaga[OrderPayload],
        answer: datetime | None,  # noqa: ARG002 - the wallet has done as it was asked
    ) -> Order:
        """Make the order PAID, and take out of the cart what was ordered."""
        order_id = saga.payload.order_id
        paid = await checkouts.pay(tx, user_id=saga.user_id, order_id=order_id)
        if paid is None:
            await users.lock_known(tx, saga.user_id)
            return await orders.get_known(tx, order_id)
        order, sold = paid
        await log.write(
            tx,
            "order_placed",
            {"order": str(order_id), "total": order.total},
            user_id=saga.user_id,
            actor=saga.user_id,
            entry_id=saga.id,
        )
        fact = events.order_paid(
            order_id, number=order.number, user_id=saga.user_id, total=order.total
        )
        await tell(tx, fact, *await stock_facts(tx, sold), saga_id=saga.id)
        return order

    async def compensate(self, saga: RunningSaga[OrderPayload]) -> None:
        """Void the debit, also when it was refused: a duplicate may come later."""
        request = wallet_pb.VoidTransferRequest(transfer_id=str(saga.id))
        await self.wallets.stub.VoidTransfer(request)

    async def undo(self, tx: Transaction, saga: RunningSaga[OrderPayload]) -> None:
        """Make the order FAILED, and give the goods back."""
        order_id = saga.payload.order_id
        await users.lock_known(tx, saga.user_id)
        if await orders.fail(tx, order_id, reason=saga.error.reason):
            await products.release(tx, await orders.quantities(tx, order_id))
