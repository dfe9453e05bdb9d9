"""Refunds: how one begins, and how it ends. The sagas in between move the money."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.commerce import events
from services.commerce.domain import order_rules
from services.commerce.domain.stock_events import stock_facts
from services.commerce.errors import QuantityLimit, RefundInProgress
from services.commerce.model import OrderState, RefundItem, RefundKind
from services.commerce.store import fulfilment, products
from services.commerce.store.fulfilment import LockedOrder, NewRefund, RefundNumbers
from services.kernel.db.database import Transaction
from services.kernel.events.writer import Fact, tell

# Of each kind, so that an order stays short enough to be read.
REFUNDS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class WantedRefund:
    """What a caller wants back.

    Attributes:
        items: The products; none: all that can be cancelled.
        own: The products that the caller may refund; None: all.
        is_restocked: Whether the products can be sold again.
    """

    kind: RefundKind
    items: Sequence[RefundItem]
    own: frozenset[UUID] | None
    is_restocked: bool = True
    reason: str = ""


async def begin(
    tx: Transaction, order: LockedOrder, wanted: WantedRefund, *, refund_id: UUID
) -> int:
    """Write an OPEN refund of a locked order, and return its amount.

    What is cancelled can be sold again at once.

    Raises:
        RefundInProgress: Another refund of the order is OPEN.
        IllegalState, InvalidField, QuantityLimit: See `order_rules`.
    """
    is_cancelled = wanted.kind is RefundKind.CANCEL
    order_rules.ensure_paid(order.state, "cancelled" if is_cancelled else "refunded")
    _ensure_possible(await fulfilment.numbers(tx, order.id), wanted)
    lines = await fulfilment.lines(tx, order.id)
    choose = order_rules.to_cancel if is_cancelled else order_rules.to_return
    items = choose(lines, wanted.items, wanted.own)
    new = NewRefund(
        refund_id=refund_id,
        order_id=order.id,
        kind=wanted.kind,
        amount=order_rules.price_of(lines, items),
        is_restocked=wanted.is_restocked,
        reason=wanted.reason,
    )
    await fulfilment.insert_refund(tx, new, items, order_rules.shares_back(lines, items))
    if is_cancelled:
        # It cannot be refused any more, so what comes back is final.
        await tell(tx, *await _put_back(tx, items), saga_id=refund_id)
    await _settle(tx, order, refund_id=refund_id)
    return new.amount


async def end(tx: Transaction, order_id: UUID, *, refund_id: UUID) -> None:
    """Make a refund DONE, and give back to the stock what came back; a repeat changes nothing."""
    order = await fulfilment.lock(tx, order_id)
    finished = await fulfilment.finish_refund(tx, refund_id)
    if finished is None:
        return
    facts = list[Fact]()
    if finished.kind is RefundKind.RETURN and finished.is_restocked:
        items = await fulfilment.items_of_refund(tx, refund_id)
        await fulfilment.restock(tx, order_id, items)
        facts += await _put_back(tx, items)
    state = await _settle(tx, order, refund_id=refund_id)
    facts += _facts(order, refund_id, finished.kind, state)
    await tell(tx, *facts, saga_id=refund_id)


def _facts(
    order: LockedOrder, refund_id: UUID, kind: RefundKind, state: OrderState
) -> Iterator[Fact]:
    if kind is RefundKind.RETURN:
        yield events.order_returned(order, refund_id)
    elif state is OrderState.CANCELLED:
        yield events.order_cancelled(order, refund_id)
    else:
        yield events.order_partly_cancelled(order, refund_id)
        if state is OrderState.FULFILLED:  # what is left was shipped before
            yield events.order_fulfilled(order)


async def take_back(tx: Transaction, order_id: UUID, *, refund_id: UUID) -> None:
    """Take back a return that was refused; a repeat changes nothing."""
    order = await fulfilment.lock(tx, order_id)
    await fulfilment.remove_return(tx, order_id, refund_id)
    await _settle(tx, order, refund_id=refund_id)


async def _settle(tx: Transaction, order: LockedOrder, *, refund_id: UUID) -> OrderState:
    """Give an order the state that follows from its lines, and return it."""
    lines = await fulfilment.lines(tx, order.id)
    is_open = (await fulfilment.numbers(tx, order.id)).open > 0
    state = order_rules.state_of(lines, is_open=is_open)
    is_gone = all(each.cancelled_quantity == each.quantity for each in lines)
    await fulfilment.set_state(tx, order.id, state, refund_id=refund_id if is_gone else None)
    return state


def _ensure_possible(numbers: RefundNumbers, wanted: WantedRefund) -> None:
    if numbers.open:
        raise RefundInProgress
    is_cancelled = wanted.kind is RefundKind.CANCEL
    made = numbers.cancellations if is_cancelled else numbers.returns
    if wanted.items and made >= REFUNDS_MAX:
        raise QuantityLimit(f"An order has at most {REFUNDS_MAX} refunds. Cancel all that is left.")


async def _put_back(tx: Transaction, items: Sequence[RefundItem]) -> list[Fact]:
    quantities = {each.product_id: each.quantity for each in items}
    return await stock_facts(tx, await products.release(tx, quantities))
