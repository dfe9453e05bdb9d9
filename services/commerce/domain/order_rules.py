"""The rules about what of an order may be cancelled, shipped and refunded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from uuid import UUID

from services.commerce.model import OrderState, RefundItem
from services.commerce.store.fulfilment import OrderLine
from services.kernel.errors import IllegalState, InvalidField, Violation

NOT_PAID = frozenset({OrderState.PENDING, OrderState.FAILED})


def ensure_paid(state: OrderState, doing: str) -> None:
    """Make sure that an order was paid.

    Raises:
        IllegalState: It was not.
    """
    if state in NOT_PAID:
        raise IllegalState(f"Only a paid order can be {doing}.")


def to_cancel(
    lines: Sequence[OrderLine], wanted: Sequence[RefundItem], own: Collection[UUID] | None
) -> list[RefundItem]:
    """Return what is cancelled; nothing wanted means all that the caller may cancel.

    Raises:
        InvalidField: A product is not the caller's, or less of it is left.
        IllegalState: A product is shipped, or nothing is left.
    """
    if wanted:
        found = _matched(lines, wanted, own)
        if any(line.is_shipped for line in found):
            raise IllegalState("What is shipped cannot be cancelled any more.")
        return list(wanted)
    mine = [each for each in lines if own is None or each.product_id in own]
    if any(line.is_shipped for line in mine):
        raise IllegalState("A part of the order is shipped. Name the items to cancel.")
    items = [RefundItem(each.product_id, each.left) for each in mine if each.left]
    if not items:
        raise IllegalState("Nothing of the order is left to cancel.")
    return items


def to_return(
    lines: Sequence[OrderLine], wanted: Sequence[RefundItem], own: Collection[UUID] | None
) -> list[RefundItem]:
    """Return what comes back.

    Raises:
        InvalidField: A product is not the caller's, or less of it is left.
        IllegalState: A product is not shipped.
    """
    if not all(line.is_shipped for line in _matched(lines, wanted, own)):
        raise IllegalState("Only what is shipped can come back. Cancel the rest instead.")
    return list(wanted)


def to_ship(
    lines: Sequence[OrderLine], wanted: Sequence[UUID], own: Collection[UUID] | None
) -> list[UUID]:
    """Return the products to ship; nothing wanted means all that the caller may ship.

    Raises:
        InvalidField: A product is not the caller's.
        IllegalState: A product is shipped or cancelled already, or nothing is left.
    """
    known = {each.product_id: each for each in lines if own is None or each.product_id in own}
    _raise_any(
        Violation(f"product_ids[{place}]", "must be a product of the order that you may ship")
        for place, product_id in enumerate(wanted)
        if product_id not in known
    )
    chosen = [known[each] for each in wanted] or [
        each for each in known.values() if each.left and not each.is_shipped
    ]
    if not chosen:
        raise IllegalState("Nothing of the order is left to ship.")
    if not all(line.left and not line.is_shipped for line in chosen):
        raise IllegalState("A product is shipped or cancelled already.")
    return [line.product_id for line in chosen]


def state_of(lines: Sequence[OrderLine], *, is_open: bool) -> OrderState:
    """Return the state of a paid order, which follows from its lines.

    Args:
        lines: The lines.
        is_open: Whether a refund is in flight.
    """
    left = [each for each in lines if each.cancelled_quantity < each.quantity]
    if not left:
        return OrderState.CANCELLING if is_open else OrderState.CANCELLED
    if all(line.is_shipped for line in left):
        return OrderState.FULFILLED
    return OrderState.PAID


def total(lines: Sequence[OrderLine]) -> int:
    """Return what an order cost, in minor units."""
    return sum(each.unit_price * each.quantity for each in lines)


def price_of(lines: Sequence[OrderLine], items: Sequence[RefundItem]) -> int:
    """Return what was paid for products of an order, in minor units."""
    prices = {each.product_id: each.unit_price for each in lines}
    return sum(prices[each.product_id] * each.quantity for each in items)


def shares_back(lines: Sequence[OrderLine], items: Sequence[RefundItem]) -> list[int]:
    """Return what goes back from the seller of each product.

    It is the difference of the shares before and after, so that rounding never adds up.
    """
    known = {each.product_id: each for each in lines}
    found = [(known[each.product_id], each.quantity) for each in items]
    return [line.share(line.left) - line.share(line.left - quantity) for line, quantity in found]


def _matched(
    lines: Sequence[OrderLine], wanted: Sequence[RefundItem], own: Collection[UUID] | None
) -> list[OrderLine]:
    """Return the line of each product, which has enough left."""
    known = {each.product_id: each for each in lines if own is None or each.product_id in own}
    _raise_any(_wrong(wanted, known.get))
    return [known[each.product_id] for each in wanted]


def _wrong(
    wanted: Sequence[RefundItem], find: Callable[[UUID], OrderLine | None]
) -> Iterator[Violation]:
    for place, item in enumerate(wanted):
        line = find(item.product_id)
        if line is None:
            yield Violation(
                f"items[{place}].product_id", "must be a product of the order that is yours"
            )
        elif item.quantity > line.left:
            yield Violation(
                f"items[{place}].quantity", f"must be at most {line.left}, which is left"
            )


def _raise_any(violations: Iterator[Violation]) -> None:
    found = list(violations)
    if found:
        raise InvalidField(*found)
