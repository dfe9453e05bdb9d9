"""Products and quantities of an order, as requests name them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from lockstep.commerce.v1 import order_service_pb2 as order_pb

from services.commerce.model import LINES_MAX, QUANTITY_MAX, RefundItem
from services.kernel.validation import Violations


def read_refund_items(v: Violations, given: Sequence[order_pb.RefundItem]) -> list[RefundItem]:
    """Read products and their quantities; each product once."""
    items = [_item(v, each, f"items[{place}]") for place, each in enumerate(given[:LINES_MAX])]
    if len(given) > LINES_MAX:
        v.add("items", f"must be at most {LINES_MAX} items")
    tell_repeats(v, [each.product_id for each in items], "items[{}].product_id")
    return items


def tell_repeats(v: Violations, product_ids: Sequence[UUID], field: str) -> None:
    """Add a violation for each product that comes again; `field` names the place of one."""
    if v.violations:
        return
    for place, product_id in enumerate(product_ids):
        if product_id in product_ids[:place]:
            v.add(field.format(place), "must be there once")


def _item(v: Violations, given: order_pb.RefundItem, path: str) -> RefundItem:
    quantity = v.at_least(1, given.quantity, f"{path}.quantity")
    if quantity > QUANTITY_MAX:
        v.add(f"{path}.quantity", f"must be at most {QUANTITY_MAX:,}")
    return RefundItem(v.uuid(given.product_id, f"{path}.product_id"), quantity)
