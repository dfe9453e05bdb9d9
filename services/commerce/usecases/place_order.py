"""Order what is in the caller's cart: stock, money and order together, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from services.commerce.errors import (
    CartEmpty,
    CheckoutInProgress,
    ItemUnavailable,
    NoStock,
    PriceChanged,
    QuantityLimit,
)
from services.commerce.model import TOTAL_MAX, CartLine, CartProblem, Order, OrderItem, OrderState
from services.commerce.sagas.kinds import CHECKOUT, OrderPayload, PlacedOrder
from services.commerce.store import carts, checkouts, orders, users
from services.kernel.db.database import Database, Transaction
from services.kernel.ids import new_id
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import IdempotencyKey, Requests


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Places orders.

    Attributes:
        commission_bps: The part of a price, in 1/10000, that sellers do not get.
    """

    database: Database
    requests: Requests
    commission_bps: int

    async def __call__(
        self,
        *,
        user_id: UUID,
        expected_total: int | None,
        shipping_address: str,
        key: RequestKey | None,
    ) -> Order:
        """Order what is in the cart, pay it from the wallet, and return the order.

        Args:
            user_id: The user who orders.
            expected_total: The most it may cost, in minor units; None: whatever it costs.
            shipping_address: Where to ship it.
            key: Names the request.

        Raises:
            CartEmpty, ItemUnavailable, NoStock, QuantityLimit, PriceChanged,
            CheckoutInProgress: Nothing was written.
            InsufficientFunds, PaymentUnavailable: Everything was undone, or will be.
            DeadlineExceeded: The outcome is not known yet; a repeat with the key gets it.
            SessionEnded: The user's account was deleted.
        """

        async def prepare() -> NewSaga[OrderPayload, Order]:
            return self._checkout(user_id, expected_total, shipping_address)

        order = await self.requests.run_once(CHECKOUT, IdempotencyKey(key), prepare)
        return await orders.with_pay_time(self.database, order)

    async def validate(
        self, *, user_id: UUID, expected_total: int | None, shipping_address: str
    ) -> Order:
        """Return the order as it would be now; nothing is locked, nothing changes.

        Raises:
            CartEmpty, ItemUnavailable, NoStock, QuantityLimit, PriceChanged,
            CheckoutInProgress: As the order would.
        """
        if await orders.is_pending(self.database, user_id):
            raise CheckoutInProgress
        cart = await carts.get(self.database, user_id)
        items = _items(cart.lines, expected_total)
        return Order(
            id=None,
            user_id=user_id,
            state=OrderState.PENDING,
            items=items,
            total=_total(items),
            create_time=datetime.now(UTC),
            failure_reason=None,
            debit_id=None,
            refund_id=None,
            shipping_address=shipping_address,
        )

    def _checkout(
        self, user_id: UUID, expected: int | None, address: str
    ) -> NewSaga[OrderPayload, Order]:
        order_id = new_id()

        async def begin(tx: Transaction, saga_id: UUID) -> PlacedOrder:
            items = await _lock(tx, user_id, expected)
            lines = await checkouts.place(
                tx,
                order_id=order_id,
                user_id=user_id,
                items=items,
                total=_total(items),
                debit_id=saga_id,
                shipping_address=address,
                commission_bps=self.commission_bps,
            )
            return PlacedOrder(lines)

        return CHECKOUT.new(
            OrderPayload(order_id=order_id),
            user_id=user_id,
            lock=partial(users.lock, user_id=user_id),
            initial_change=begin,
        )


async def _lock(tx: Transaction, user_id: UUID, expected: int | None) -> list[OrderItem]:
    """Lock the products in the cart of a locked user, and return what is ordered."""
    begun = await checkouts.begin(tx, user_id)
    if begun is None:
        raise CartEmpty
    if begun.is_pending:
        raise CheckoutInProgress
    return _items(await carts.lock_lines(tx, user_id), expected)


def _items(lines: Sequence[CartLine], expected: int | None) -> list[OrderItem]:
    """Take the snapshot that is charged, or say why the cart cannot be ordered."""
    if not lines:
        raise CartEmpty
    for line in lines:
        if CartProblem.GONE in line.problems:
            raise ItemUnavailable(line.product.id)
    for line in lines:
        if CartProblem.NO_STOCK in line.problems:
            raise NoStock(line.product.id)
    items = [
        OrderItem(
            product_id=line.product.id,
            name=line.product.name,
            quantity=line.quantity,
            unit_price=line.product.price,
        )
        for line in lines
    ]
    if _total(items) > TOTAL_MAX:
        raise QuantityLimit("An order costs at most 10^12 minor units. Order less.")
    if expected is not None and expected != _total(items):
        raise PriceChanged
    return items


def _total(items: Sequence[OrderItem]) -> int:
    return sum(item.total for item in items)
