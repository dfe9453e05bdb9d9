"""The sales of a seller: lines of paid orders, by keyset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DateTime,
    FromClause,
    Integer,
    Select,
    Uuid,
    bindparam,
    literal_column,
    select,
    tuple_,
)

from services.commerce.model import (
    IS_UNSHIPPED,
    ORDER_ITEMS,
    ORDERS,
    PRODUCTS,
    OrderState,
    SaleFilters,
    share_of,
)
from services.commerce.store import order_ids, walks
from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement

_UNPAID = (OrderState.PENDING.value, OrderState.FAILED.value)


@dataclass(frozen=True, slots=True)
class SalePosition:
    """The place of a line in the list."""

    order_id: UUID
    position: int


BEGINNING = SalePosition(order_ids.LAST_ID, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SalePage:
    """The sales of a seller before a position."""

    seller_id: UUID
    before_order: UUID
    before_position: int
    since_order: UUID
    start: datetime
    until: datetime
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SalePageOfProduct(SalePage):
    """Those of one product."""

    product_id: UUID


@dataclass(frozen=True, slots=True)
class Sale:
    """A line of an order, with what its seller may see of the order.

    Attributes:
        walked: The number of lines that were looked through, this one among them.
        is_wanted: Whether the line matches; otherwise it is the last one that was looked through.
    """

    order_id: UUID
    position: int
    product_id: UUID
    name: str
    quantity: int
    cancelled_quantity: int
    returned_quantity: int
    unit_price: int
    commission_bps: int | None
    is_fulfilled: bool
    walked: int
    number: str
    create_time: datetime
    ordered_address: str
    is_wanted: bool

    @property
    def place(self) -> SalePosition:
        """The place of this line."""
        return SalePosition(self.order_id, self.position)

    @property
    def _price(self) -> int:
        left = self.quantity - self.cancelled_quantity - self.returned_quantity
        return self.unit_price * left

    @property
    def share(self) -> int:
        """What the seller gets for what is left, in minor units."""
        return share_of(self._price, self.commission_bps)

    @property
    def commission(self) -> int:
        """What the shop keeps of the price of what is left."""
        return self._price - self.share

    @property
    def shipping_address(self) -> str:
        """Where to ship it; empty when nothing is left to ship."""
        is_settled = self.is_fulfilled or self.cancelled_quantity == self.quantity
        return "" if is_settled else self.ordered_address


@dataclass(frozen=True, slots=True)
class FoundSales:
    """Sales, and the last line that was looked through; None: that was the last one of all."""

    sales: Sequence[Sale]
    end: SalePosition | None


async def list_sales(
    reader: Reader, filters: SaleFilters, *, before: SalePosition, limit: int
) -> FoundSales:
    """Return sales before a position, those of the newest order first; may return fewer."""
    bound = SalePosition(order_ids.bound_of_ids(filters.end), 0)
    before = min(before, bound, key=lambda each: (each.order_id, each.position))
    page: dict[str, Any] = {
        "seller_id": filters.seller_id,
        "before_order": before.order_id,
        "before_position": before.position,
        "since_order": order_ids.least_id(filters.start),
        "start": filters.start or order_ids.EARLIEST,
        "until": filters.end or order_ids.LATEST,
        "limit": limit,
    }
    statement = _LISTS[filters.product_id is not None, filters.is_fulfilled]
    if filters.product_id is None:
        rows = await reader.all(statement, SalePage(**page))
    else:
        rows = await reader.all(statement, SalePageOfProduct(**page, product_id=filters.product_id))
    last = walks.end_of(rows)
    sales = [each for each in rows if each.is_wanted]
    return FoundSales(sales, None if last is None else last.place)


def _list(*, is_of_product: bool, is_fulfilled: bool | None) -> Statement[SalePage, Sale]:
    lines = _walk(is_of_product=is_of_product, is_fulfilled=is_fulfilled)
    columns = [each for each in lines.c if each.key not in ("seller_id", "is_unshipped")]
    wanted = (
        (lines.c.seller_id == bindparam("seller_id", type_=Uuid))
        & ORDERS.c.state.not_in([literal_column(f"'{each}'") for each in _UNPAID])
        & (ORDERS.c.create_time >= bindparam("start", type_=DateTime(timezone=True)))
        & (ORDERS.c.create_time < bindparam("until", type_=DateTime(timezone=True)))
    )
    if is_fulfilled is not None:
        wanted &= lines.c.is_fulfilled if is_fulfilled else lines.c.is_unshipped
    page = (
        select(
            *columns,
            ORDERS.c.number,
            ORDERS.c.create_time,
            ORDERS.c.shipping_address.label("ordered_address"),
            wanted.label("is_wanted"),
        )
        .join_from(lines, ORDERS, ORDERS.c.id == lines.c.order_id)
        .where(walks.is_found(lines, wanted=wanted))
        .order_by(lines.c.order_id.desc(), lines.c.position.desc())
        .limit(bindparam("limit"))
    )
    return Statement(page, SalePageOfProduct if is_of_product else SalePage, Sale)


def _walk(*, is_of_product: bool, is_fulfilled: bool | None) -> FromClause:
    """Select the lines that are looked through."""
    row = tuple_(ORDER_ITEMS.c.order_id, ORDER_ITEMS.c.position)
    before = bindparam("before_order", type_=Uuid), bindparam("before_position", type_=Integer)
    lines: Select[Any] = select(
        ORDER_ITEMS.c.order_id,
        ORDER_ITEMS.c.position,
        ORDER_ITEMS.c.product_id,
        ORDER_ITEMS.c.name,
        ORDER_ITEMS.c.quantity,
        ORDER_ITEMS.c.cancelled_quantity,
        ORDER_ITEMS.c.returned_quantity,
        ORDER_ITEMS.c.unit_price,
        ORDER_ITEMS.c.commission_bps,
        ORDER_ITEMS.c.seller_id,
        ORDER_ITEMS.c.shipment_id.is_not(None).label("is_fulfilled"),
        IS_UNSHIPPED.label("is_unshipped"),
    ).where(row < tuple_(*before), ORDER_ITEMS.c.order_id >= bindparam("since_order", type_=Uuid))
    seller = bindparam("seller_id", type_=Uuid)
    if is_of_product:
        product = bindparam("product_id", type_=Uuid)
        # How much another seller sells is not told, not even by the number of pages.
        own = select(PRODUCTS.c.id).where(PRODUCTS.c.id == product, PRODUCTS.c.seller_id == seller)
        lines = lines.where(ORDER_ITEMS.c.product_id == product, own.exists())
    else:
        lines = lines.where(ORDER_ITEMS.c.seller_id == seller)
        if is_fulfilled is False:
            lines = lines.where(IS_UNSHIPPED)
    return walks.walk(lines, "order_id", "position")


_LISTS = {
    (is_of_product, is_fulfilled): _list(is_of_product=is_of_product, is_fulfilled=is_fulfilled)
    for is_of_product in (False, True)
    for is_fulfilled in (None, False, True)
}
