"""Order what is in the caller's cart: stock, money and order together, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
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
from services.commerce.sagas.checkout import CheckoutSaga
from services.commerce.sagas.codec import order_of, payload_of
from services.commerce.store import carts, orders, products
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import (
    DomainError,
    InvalidField,
    RecordedError,
    RequestInProgress,
    SagaNotFound,
    Violation,
)
from services.kernel.ids import new_id
from services.kernel.sagas import idempotency
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.idempotency import RequestKey, StoredOutcome
from services.kernel.sagas.protocol import NewSaga


class PlaceOrder:
    """Places orders.

    Args:
        database: Commerce's.
        engine: Drives the sagas.
    """

    def __init__(self, database: Database, engine: SagaEngine) -> None:
        """See the class."""
        self._database = database
        self._engine = engine

    async def __call__(
        self, *, user_id: UUID, expected_total: int | Violation | None, key: RequestKey | None
    ) -> Order:
        """Order what is in the cart, pay it from the wallet, and return the order.

        Args:
            user_id: Who orders.
            expected_total: What it may cost, in minor units; None: whatever it costs.
            key: Names the request.

        Raises:
            InvalidField: The expected total is no amount of money.
            CartEmpty, ItemUnavailable, NoStock, QuantityLimit, PriceChanged,
            CheckoutInProgress: Nothing was written.
            InsufficientFunds, ProfileUnavailable: Everything was undone, or will be.
            DeadlineExceeded: Nobody knows yet; the same key tells.
            SessionEnded: The user's account was deleted.
        """
        expected = _amount(expected_total)
        if key is not None and (kept := await idempotency.find(self._database, key)):
            return await self._replay(kept)
        try:
            return await self._run(user_id, expected, key)
        except _SameRequest as same:
            return await self._replay(same.kept)
        except RecordedError:
            raise  # kept with the saga
        except DomainError as error:
            kept = await idempotency.store_refusal(self._database, "PlaceOrder", key, error)
            if kept is None:
                raise
            return await self._replay(kept)

    async def validate(self, *, user_id: UUID, expected_total: int | Violation | None) -> Order:
        """Return the order as it would be now; nothing is locked, nothing changes.

        Raises:
            InvalidField, CartEmpty, ItemUnavailable, NoStock, QuantityLimit,
            PriceChanged, CheckoutInProgress: As the order would.
        """
        expected = _amount(expected_total)
        if await orders.is_pending(self._database, user_id):
            raise CheckoutInProgress
        cart = await carts.get(self._database, user_id)
        items = _items(cart.lines, expected)
        return Order(
            id=None,
            user_id=user_id,
            state=OrderState.PENDING,
            items=items,
            total=_total(items),
            create_time=datetime.now(UTC),
        )

    async def _run(self, user_id: UUID, expected: int | None, key: RequestKey | None) -> Order:
        saga_id, order_id = new_id(), new_id()

        async def initial_change(tx: Transaction) -> None:
            if key is not None and (kept := await idempotency.claim(tx, key, saga_id=saga_id)):
                raise _SameRequest(kept)
            await _open(tx, user_id, expected, order_id=order_id, saga_id=saga_id)

        outcome = await self._engine.run(
            NewSaga(
                id=saga_id,
                kind=CheckoutSaga.kind,
                payload=payload_of(order_id),
                user_id=user_id,
                initial_change=initial_change,
            )
        )
        return order_of(outcome.unwrap())

    async def _replay(self, kept: StoredOutcome) -> Order:
        if kept.error is not None:
            raise RecordedError(kept.error)
        assert kept.saga_id is not None
        try:
            return order_of((await self._engine.attach(kept.saga_id)).unwrap())
        except SagaNotFound:
            # Its row is committed with the key's: it has been cleaned up since.
            raise RequestInProgress from None


async def _open(
    tx: Transaction, user_id: UUID, expected: int | None, *, order_id: UUID, saga_id: UUID
) -> None:
    """Write the order and take the stock; locks the cart, then its products by id."""
    if not await carts.touch(tx, user_id):
        raise CartEmpty
    if await orders.is_pending(tx, user_id):
        raise CheckoutInProgress
    items = _items(await carts.lock_lines(tx, user_id), expected)
    await products.reserve(tx, {item.product_id: item.quantity for item in items})
    await orders.insert_order(
        tx, order_id=order_id, user_id=user_id, items=items, total=_total(items), debit_id=saga_id
    )


def _items(lines: Sequence[CartLine], expected: int | None) -> list[OrderItem]:
    """Take the snapshot that is charged, or say why the cart can't be ordered."""
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


def _amount(expected_total: int | Violation | None) -> int | None:
    if isinstance(expected_total, Violation):
        raise InvalidField(expected_total)
    return expected_total


class _SameRequest(Exception):
    """The key was used before; internal to this module."""

    def __init__(self, kept: StoredOutcome) -> None:
        super().__init__()
        self.kept = kept
