"""What a caller has to do with an order: the buyer, a seller of some lines, or one for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.commerce.errors import OrderNotFound
from services.commerce.model import Order
from services.commerce.store import orders, users
from services.kernel.db.database import Reader, Transaction
from services.kernel.errors import EtagMismatch, Forbidden, SessionEnded
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class OrderStanding:
    """What a caller has to do with an order.

    Attributes:
        buyer_id: Who ordered; None: forgotten.
        pay_time: When it was paid, if that is known.
        own: The products in the order that the caller sells.
    """

    caller: Caller
    buyer_id: UUID | None
    pay_time: datetime | None
    own: frozenset[UUID]

    @classmethod
    async def of(cls, reader: Reader, caller: Caller, order_id: UUID) -> OrderStanding:
        """Return what a caller has to do with an order.

        Raises:
            OrderNotFound: There is no such order, or the caller has nothing to do with it.
        """
        found = await orders.standing(reader, order_id, caller.own_id)
        if found is None:
            raise OrderNotFound
        standing = cls(caller, found.user_id, found.pay_time, frozenset(found.own))
        if not (standing.sees_all or standing.own):
            raise OrderNotFound
        return standing

    @property
    def is_buyer(self) -> bool:
        """Whether the caller has ordered."""
        return self.buyer_id is not None and self.buyer_id == self.caller.own_id

    @property
    def sees_all(self) -> bool:
        """Whether the caller may see the whole order."""
        return self.caller.acts_for_all or self.is_buyer

    @property
    def cancellable(self) -> frozenset[UUID] | None:
        """The products that the caller may cancel; None: all."""
        return None if self.sees_all else self.own

    @property
    def sold(self) -> frozenset[UUID] | None:
        """The products that the caller may ship and take back; None: all.

        Raises:
            Forbidden: The caller sells nothing in the order.
        """
        if self.caller.acts_for_all:
            return None
        if not self.own:
            raise Forbidden("Only administrators and sellers of products in the order may do so.")
        return self.own

    def seen(self, order: Order) -> Order:
        """Return what the caller may see of the order, which may come from a kept answer."""
        paid = replace(order, pay_time=self.pay_time)
        return paid if self.sees_all else paid.of_products(self.own)

    async def lock(self, tx: Transaction) -> None:
        """Lock the buyer, if the order has one.

        Raises:
            SessionEnded, EtagMismatch: The account of the buyer, or of another buyer than the
                caller, was deleted at the same moment.
        """
        if self.buyer_id is None:  # forgotten
            return
        try:
            await users.lock(tx, self.buyer_id)
        except SessionEnded:
            if self.is_buyer:
                raise
            raise EtagMismatch from None  # the session of another caller goes on
