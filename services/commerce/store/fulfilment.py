"""What becomes of a paid order: its lines are shipped, cancelled, or come back.

The order's row is locked before anything here is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Integer,
    Uuid,
    bindparam,
    case,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from services.commerce.errors import OrderNotFound
from services.commerce.model import (
    ORDER_ITEMS,
    ORDERS,
    REFUND_ITEMS,
    REFUNDS,
    SHIPMENTS,
    OrderState,
    RefundItem,
    RefundKind,
    share_of,
)
from services.commerce.store.orders import ByOrder
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement


@dataclass(frozen=True, slots=True)
class LockedOrder:
    """An order whose row is locked."""

    id: UUID
    number: str
    user_id: UUID | None
    state: OrderState
    refund_id: UUID | None


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line of an order, as the rules about shipping and refunds need it."""

    product_id: UUID
    quantity: int
    unit_price: int
    cancelled_quantity: int
    returned_quantity: int
    shipment_id: UUID | None
    seller_id: UUID | None
    commission_bps: int | None

    def share(self, quantity: int) -> int:
        """Return what the seller gets for a quantity."""
        return share_of(self.unit_price * quantity, self.commission_bps)

    @property
    def left(self) -> int:
        """The quantity that is neither cancelled nor back."""
        return self.quantity - self.cancelled_quantity - self.returned_quantity

    @property
    def is_shipped(self) -> bool:
        """Whether what is not cancelled is shipped."""
        return self.shipment_id is not None


@dataclass(frozen=True, slots=True)
class RefundNumbers:
    """How many refunds an order has, and whether one is OPEN."""

    cancellations: int
    returns: int
    open: int


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A refund to insert."""

    refund_id: UUID
    order_id: UUID
    kind: RefundKind
    amount: int
    is_restocked: bool
    reason: str


@dataclass(frozen=True, slots=True)
class NewRefundItems:
    """The products of a refund to insert, column by column."""

    refund_id: UUID
    product_ids: list[UUID]
    quantities: list[int]
    shares: list[int]


@dataclass(frozen=True, slots=True)
class MovedQuantities:
    """Quantities of products in an order, column by column."""

    order_id: UUID
    product_ids: list[UUID]
    quantities: list[int]


@dataclass(frozen=True, slots=True)
class ByRefund:
    """The parameter of a statement about one refund."""

    refund_id: UUID


@dataclass(frozen=True, slots=True)
class FinishedRefund:
    """A refund that has become DONE."""

    kind: RefundKind
    is_restocked: bool


@dataclass(frozen=True, slots=True)
class NewShipment:
    """A shipment to insert."""

    shipment_id: UUID
    order_id: UUID
    tracking: str


@dataclass(frozen=True, slots=True)
class ShippedProducts:
    """The products of an order that are in a shipment."""

    shipment_id: UUID
    order_id: UUID
    product_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class NewState:
    """An order and its new state."""

    order_id: UUID
    state: OrderState
    refund_id: UUID | None
    keeps_address: bool


_ORDER = bindparam("order_id", type_=Uuid)
_REFUND = bindparam("refund_id", type_=Uuid)
_BY_ID = ORDERS.c.id == _ORDER
_PRODUCTS = bindparam("product_ids", type_=ARRAY(Uuid))

_LOCK = Statement(
    select(ORDERS.c.id, ORDERS.c.number, ORDERS.c.user_id, ORDERS.c.state, ORDERS.c.refund_id)
    .where(_BY_ID)
    .with_for_update(),
    ByOrder,
    LockedOrder,
)
LINE_COLUMNS = (
    ORDER_ITEMS.c.product_id,
    ORDER_ITEMS.c.quantity,
    ORDER_ITEMS.c.unit_price,
    ORDER_ITEMS.c.cancelled_quantity,
    ORDER_ITEMS.c.returned_quantity,
    ORDER_ITEMS.c.shipment_id,
    ORDER_ITEMS.c.seller_id,
    ORDER_ITEMS.c.commission_bps,
)
_LINES = Statement(
    select(*LINE_COLUMNS).where(ORDER_ITEMS.c.order_id == _ORDER).order_by(ORDER_ITEMS.c.position),
    ByOrder,
    OrderLine,
)
_NUMBERS = Statement(
    select(
        func.count().filter(REFUNDS.c.kind == literal("CANCEL")).label("cancellations"),
        func.count().filter(REFUNDS.c.kind == literal("RETURN")).label("returns"),
        func.count().filter(REFUNDS.c.state == literal("OPEN")).label("open"),
    ).where(REFUNDS.c.order_id == _ORDER),
    ByOrder,
    RefundNumbers,
)
_INSERT_REFUND = Statement(
    insert(REFUNDS).values(
        id=_REFUND,
        order_id=_ORDER,
        kind=bindparam("kind"),
        state="OPEN",
        amount=bindparam("amount", type_=BigInteger),
        is_restocked=bindparam("is_restocked", type_=Boolean),
        reason=bindparam("reason"),
    ),
    NewRefund,
    NoRow,
)
_moved = (
    func.unnest(_PRODUCTS, bindparam("quantities", type_=ARRAY(Integer)))
    .table_valued(column("id", Uuid), column("quantity", Integer), name="moved")
    .render_derived()
)
_refunded = (
    func.unnest(
        _PRODUCTS,
        bindparam("quantities", type_=ARRAY(Integer)),
        bindparam("shares", type_=ARRAY(BigInteger)),
    )
    .table_valued("id", "quantity", "share", name="refunded")
    .render_derived()
)
_INSERT_ITEMS = Statement(
    insert(REFUND_ITEMS).from_select(
        ["refund_id", "product_id", "quantity", "share"],
        select(cast(_REFUND, Uuid), _refunded.c.id, _refunded.c.quantity, _refunded.c.share),
    ),
    NewRefundItems,
    NoRow,
)
_ITEMS = Statement(
    select(REFUND_ITEMS.c.product_id, REFUND_ITEMS.c.quantity)
    .where(REFUND_ITEMS.c.refund_id == _REFUND)
    .order_by(REFUND_ITEMS.c.product_id),
    ByRefund,
    RefundItem,
)
_FINISH = Statement(
    update(REFUNDS)
    .where(REFUNDS.c.id == _REFUND, REFUNDS.c.state == literal("OPEN"))
    .values(state="DONE")
    .returning(REFUNDS.c.kind, REFUNDS.c.is_restocked),
    ByRefund,
    FinishedRefund,
)
_REMOVE = Statement(
    delete(REFUNDS).where(REFUNDS.c.id == _REFUND, REFUNDS.c.state == literal("OPEN")),
    ByRefund,
    NoRow,
)


def _count(counter: Column[int]) -> Statement[MovedQuantities, NoRow]:
    """Make a statement that adds to a counter of lines."""
    return Statement(
        update(ORDER_ITEMS)
        .where(ORDER_ITEMS.c.order_id == _ORDER, ORDER_ITEMS.c.product_id == _moved.c.id)
        .values({counter: counter + _moved.c.quantity}),
        MovedQuantities,
        NoRow,
    )


_CANCEL = _count(ORDER_ITEMS.c.cancelled_quantity)
_RETURN = _count(ORDER_ITEMS.c.returned_quantity)
_RESTOCK = _count(ORDER_ITEMS.c.restocked_quantity)
_INSERT_SHIPMENT = Statement(
    insert(SHIPMENTS).values(
        id=bindparam("shipment_id", type_=Uuid), order_id=_ORDER, tracking=bindparam("tracking")
    ),
    NewShipment,
    NoRow,
)
_SHIP = Statement(
    update(ORDER_ITEMS)
    .where(ORDER_ITEMS.c.order_id == _ORDER, ORDER_ITEMS.c.product_id == func.any(_PRODUCTS))
    .values(shipment_id=bindparam("shipment_id", type_=Uuid)),
    ShippedProducts,
    NoRow,
)
# The address of a buyer who was forgotten goes as soon as nothing is left to ship.
_SET_STATE = Statement(
    update(ORDERS)
    .where(_BY_ID)
    .values(
        state=bindparam("state"),
        refund_id=_REFUND,
        update_time=func.clock_timestamp(),
        shipping_address=case(
            (
                or_(ORDERS.c.user_id.is_not(None), bindparam("keeps_address", type_=Boolean)),
                ORDERS.c.shipping_address,
            ),
            else_=literal(""),
        ),
    ),
    NewState,
    NoRow,
)


async def lock(tx: Transaction, order_id: UUID) -> LockedOrder:
    """Lock an order.

    Raises:
        OrderNotFound: It failed long ago, and was deleted at this moment.
    """
    order = await tx.first(_LOCK, ByOrder(order_id))
    if order is None:
        raise OrderNotFound
    return order


async def lines(reader: Reader, order_id: UUID) -> list[OrderLine]:
    """Return the lines of an order."""
    return await reader.all(_LINES, ByOrder(order_id))


async def numbers(reader: Reader, order_id: UUID) -> RefundNumbers:
    """Count the refunds of an order."""
    (found,) = await reader.all(_NUMBERS, ByOrder(order_id))
    return found


async def insert_refund(
    tx: Transaction, new: NewRefund, items: Sequence[RefundItem], shares: Sequence[int]
) -> None:
    """Insert an OPEN refund, and count its products as cancelled or come back.

    Args:
        tx: The transaction.
        new: The refund.
        items: Its products.
        shares: What goes back from the seller of each of them.
    """
    product_ids = [each.product_id for each in items]
    quantities = [each.quantity for each in items]
    await tx.execute(_INSERT_REFUND, new)
    await tx.execute(
        _INSERT_ITEMS, NewRefundItems(new.refund_id, product_ids, quantities, list(shares))
    )
    counter = _CANCEL if new.kind is RefundKind.CANCEL else _RETURN
    moved = await tx.execute(counter, MovedQuantities(new.order_id, product_ids, quantities))
    assert moved == len(items)


async def finish_refund(tx: Transaction, refund_id: UUID) -> FinishedRefund | None:
    """Make an OPEN refund DONE; None when it is not OPEN."""
    return await tx.first(_FINISH, ByRefund(refund_id))


async def remove_return(tx: Transaction, order_id: UUID, refund_id: UUID) -> None:
    """Take back an OPEN return, whose products have not come back after all; repeats do nothing."""
    items = await items_of_refund(tx, refund_id)
    if not await tx.execute(_REMOVE, ByRefund(refund_id)):
        return
    product_ids = [each.product_id for each in items]
    quantities = [-each.quantity for each in items]
    await tx.execute(_RETURN, MovedQuantities(order_id, product_ids, quantities))


async def items_of_refund(reader: Reader, refund_id: UUID) -> list[RefundItem]:
    """Return the products of a refund."""
    return await reader.all(_ITEMS, ByRefund(refund_id))


async def restock(tx: Transaction, order_id: UUID, items: Sequence[RefundItem]) -> None:
    """Count products that came back as those that can be sold again."""
    product_ids = [each.product_id for each in items]
    quantities = [each.quantity for each in items]
    await tx.execute(_RESTOCK, MovedQuantities(order_id, product_ids, quantities))


async def ship(tx: Transaction, new: NewShipment, product_ids: Sequence[UUID]) -> None:
    """Insert a shipment of some lines."""
    await tx.execute(_INSERT_SHIPMENT, new)
    await tx.execute(_SHIP, ShippedProducts(new.shipment_id, new.order_id, list(product_ids)))


async def set_state(
    tx: Transaction, order_id: UUID, state: OrderState, *, refund_id: UUID | None
) -> None:
    """Give a locked order its state."""
    keeps_address = state is OrderState.PAID
    await tx.execute(_SET_STATE, NewState(order_id, state, refund_id, keeps_address))
