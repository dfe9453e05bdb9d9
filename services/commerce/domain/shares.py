"""The shares of sellers: what they get of an order, and of what is shipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from services.commerce.store.fulfilment import OrderLine

# Of each seller, above zero. None: those who were forgotten.
Shares = Mapping[UUID | None, int]


def of_order(lines: Iterable[OrderLine]) -> Shares:
    """Return the shares of a whole order, as it was placed."""
    return _sums((each, each.quantity) for each in lines)


def of_shipments(
    lines: Sequence[OrderLine], products: Iterable[UUID] | None = None
) -> dict[UUID, Shares]:
    """Return the shares of each shipment whose sellers are not forgotten.

    They stay as they are: what is shipped is not cancelled, and returns do not count.

    Args:
        lines: The lines of an order.
        products: Those whose shipments matter; None: all.
    """
    wanted = None if products is None else set(products)
    shipments = {
        each.shipment_id
        for each in lines
        if each.shipment_id is not None and (wanted is None or each.product_id in wanted)
    }
    shares = {
        shipment_id: _sums(
            (each, each.quantity - each.cancelled_quantity)
            for each in lines
            if each.shipment_id == shipment_id and each.seller_id is not None
        )
        for shipment_id in shipments
    }
    return {shipment_id: each for shipment_id, each in shares.items() if each}


def _sums(parts: Iterable[tuple[OrderLine, int]]) -> Shares:
    sums = Counter[UUID | None]()
    for line, quantity in parts:
        sums[line.seller_id] += line.share(quantity)
    return {seller_id: amount for seller_id, amount in sums.items() if amount}
