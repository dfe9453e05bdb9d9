"""Forget a user whose account is being deleted: the pivot of Auth's saga."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from pydantic import TypeAdapter

from services.commerce import events
from services.commerce.errors import CheckoutInProgress
from services.commerce.store import carts, images, orders, products, users
from services.common.forgetting import FORGOTTEN_AT_ONCE, RANGE
from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import tell
from services.kernel.sagas import barrier
from services.kernel.sagas.model import Nothing

BRANCH = "forget_user"

_REPLY = TypeAdapter(Nothing)


@dataclass(frozen=True, slots=True)
class ForgetUser:
    """Forgets users."""

    database: Database

    async def __call__(self, *, saga_id: UUID, user_id: UUID, not_after: datetime | None) -> None:
        """Remove the user's cart and products, take the user out of orders, refuse later writes.

        The first answer to a saga stays, even a refusal: a late duplicate must not
        forget a user whom Auth has made ACTIVE again.

        Raises:
            CheckoutInProgress: An order is being paid or refunded; nothing changed.
            SagaCancelled: The message comes for the first time, and too late; nothing changed.
        """

        async def forget(tx: Transaction) -> bool:
            return await _forget(tx, saga_id, user_id, not_after)

        if not await self.database.transact("ForgetUser", forget):
            raise CheckoutInProgress
        await self._forget_rest(user_id)

    async def _forget_rest(self, user_id: UUID) -> None:
        """Forget what the pivot has left, and what a brand sells, a range in each commit.

        There may be any number of rows, and a commit with all of them would hold its locks for
        long. A call that is cut short is repeated, and goes on where it was. The user changes
        nothing meanwhile, and others are refused what is about the user's orders. What is
        bought until a brand's products are gone comes before its lines.
        """
        while some := await orders.some_of_buyer(self.database, user_id):
            forget_bought = partial(orders.forget_buyer, user_id=user_id, some=some)
            await self.database.transact(RANGE, forget_bought)
        await users.FORGETTING.forget_rest(self.database, user_id)
        while some := await products.some_of_seller(self.database, user_id):
            await self.database.transact(RANGE, partial(_forget_products, some=some))
        while some := await orders.some_of_seller(self.database, user_id):
            forget_sold = partial(orders.forget_seller, user_id=user_id, some=some)
            await self.database.transact(RANGE, forget_sold)


async def _forget_products(tx: Transaction, *, some: Sequence[UUID]) -> None:
    await products.forget_seller(tx, some=some)
    await images.delete_of_products(tx, some)
    # For a product that was deleted before, this is the same event.
    await tell(tx, *map(events.product_deleted, some))


async def _forget(
    tx: Transaction, saga_id: UUID, user_id: UUID, not_after: datetime | None
) -> bool:
    """Forget the user, or store the refusal and return False; either is committed."""

    async def work() -> Nothing:
        # Of nearly everybody this is all.
        if some := await orders.some_of_buyer(tx, user_id):
            await orders.forget_buyer(tx, user_id=user_id, some=some)
        await users.FORGETTING.forget_user(tx, user_id, limit=FORGOTTEN_AT_ONCE)
        return Nothing()

    await users.lock_any(tx, user_id)
    await carts.lock(tx, user_id)
    if await orders.is_in_flight(tx, user_id):
        await barrier.reject(tx, saga_id=saga_id, branch=BRANCH, error=CheckoutInProgress())
        return False
    await barrier.once(
        tx, saga_id=saga_id, branch=BRANCH, not_after=not_after, work=work, codec=_REPLY
    )
    # A repeat renews it: Auth ends the sessions after an answer, which may come weeks later.
    await users.FORGETTING.entomb(tx, user_id)
    await carts.delete_cart(tx, user_id)
    await users.remove(tx, user_id)
    return True
