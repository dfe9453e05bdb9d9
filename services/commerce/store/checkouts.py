"""The SQL of checkouts: what changes an order, its cart and the stock together.

The user is locked by an earlier statement, so each of these sees all that was committed before.
`pay` locks the user itself, so it has a second statement for what must be seen behind that lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Text,
    Uuid,
    bindparam,
    case,
    column,
    delete,
    func,
    insert,
    select,
    update,
)

from services.commerce.errors import CheckoutInProgress
from services.commerce.model import (
    CART_ITEMS,
    CARTS,
    ORDER_ITEMS,
    ORDERS,
    PRODUCTS,
    USERS,
    Order,
    OrderItem,
    OrderState,
)
from services.commerce.store import carts
from services.commerce.store.fulfilment import LINE_COLUMNS, OrderLine
from services.commerce.store.order_lines import (
    ITEM_COLUMNS,
    ORDER_COLUMNS,
    OrderItemRow,
    OrderRow,
    order_of,
)
from services.commerce.store.orders import PENDING_OF_USER
from services.commerce.store.products import StockChange
from services.kernel.db.database import Transaction
from services.kernel.db.failure import TryAgain
from services.kernel.db.statement import ByUser, Statement


@dataclass(frozen=True, slots=True)
class BegunCheckout:
    """A cart that is about to be ordered.

    Attributes:
        is_pending: Whether an order of its user is being paid.
    """

    is_pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """An order to insert, its items column by column."""

    order_id: UUID
    user_id: UUID
    total: int
    debit_id: UUID
    shipping_address: str
    positions: list[int]
    product_ids: list[UUID]
    names: list[str]
    quantities: list[int]
    unit_prices: list[int]
    commission_bps: int


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """An order that is paid, and its user."""

    user_id: UUID
    order_id: UUID


@dataclass(frozen=True, slots=True)
class SoldItemRow(OrderItemRow):
    """An item that is sold, and what is left of its product; None: it is not in the catalog."""

    stock: int | None


_USER = bindparam("user_id", type_=Uuid)
_ORDER = bindparam("order_id", type_=Uuid)

_BEGIN = Statement(
    update(CARTS)
    .where(CARTS.c.user_id == _USER)
    .values(**carts.CHANGED)
    .returning(PENDING_OF_USER.exists().label("is_pending")),
    ByUser,
    BegunCheckout,
)

_given = (
    func.unnest(
        bindparam("positions", type_=ARRAY(Integer)),
        bindparam("product_ids", type_=ARRAY(Uuid)),
        bindparam("names", type_=ARRAY(Text)),
        bindparam("quantities", type_=ARRAY(Integer)),
        bindparam("unit_prices", type_=ARRAY(BigInteger)),
    )
    .table_valued(
        column("position", Integer),
        column("product_id", Uuid),
        column("name", Text),
        column("quantity", Integer),
        column("unit_price", BigInteger),
        name="given",
    )
    .render_derived()
)
_reserved = (
    update(PRODUCTS)
    .where(PRODUCTS.c.id == _given.c.product_id)
    .values(stock=PRODUCTS.c.stock - _given.c.quantity, taken=PRODUCTS.c.taken + _given.c.quantity)
    .returning(PRODUCTS.c.id, PRODUCTS.c.seller_id)
    .cte("reserved")
)
_placed = (
    insert(ORDERS)
    .values(
        id=_ORDER,
        user_id=_USER,
        state=OrderState.PENDING.value,
        total=bindparam("total"),
        debit_id=bindparam("debit_id"),
        shipping_address=bindparam("shipping_address"),
    )
    .cte("placed")
)
_PLACE = Statement(
    insert(ORDER_ITEMS)
    .from_select(
        ["order_id", *_given.c.keys(), "seller_id", "commission_bps"],
        select(
            _ORDER,
            *_given.c,
            _reserved.c.seller_id,
            case((_reserved.c.seller_id.is_not(None), bindparam("commission_bps", type_=Integer))),
        ).join_from(_given, _reserved, _reserved.c.id == _given.c.product_id),
    )
    .add_cte(_placed)
    .returning(*LINE_COLUMNS),
    NewOrder,
    OrderLine,
)

# A sum is there without a row, too: the user of an order of 0.1 may have none.
_locked = select(USERS.c.user_id).where(USERS.c.user_id == _USER).with_for_update(key_share=True)
_is_locked = select(func.count()).select_from(_locked.cte("locked")).scalar_subquery() >= 0
_paid = (
    update(ORDERS)
    .where(ORDERS.c.id == _ORDER, ORDERS.c.state == OrderState.PENDING.value, _is_locked)
    .values(
        state=OrderState.PAID.value,
        update_time=func.clock_timestamp(),
        pay_time=func.clock_timestamp(),
    )
    .returning(*ORDER_COLUMNS)
    .cte("paid")
)
_touched = (
    update(CARTS)
    .where(CARTS.c.user_id == _USER, select(_paid.c.id).exists())
    .values(**carts.CHANGED)
    .cte("touched")
)
_PAY = Statement(select(_paid).add_cte(_touched), PaidOrder, OrderRow)

_ordered = (
    (ORDER_ITEMS.c.order_id == _ORDER)
    & (ORDER_ITEMS.c.product_id == CART_ITEMS.c.product_id)
    & (CART_ITEMS.c.user_id == _USER)
)
_removed = (
    delete(CART_ITEMS)
    .where(_ordered, CART_ITEMS.c.quantity <= ORDER_ITEMS.c.quantity)
    .cte("removed")
)
_reduced = (
    update(CART_ITEMS)
    .where(_ordered, CART_ITEMS.c.quantity > ORDER_ITEMS.c.quantity)
    .values(quantity=CART_ITEMS.c.quantity - ORDER_ITEMS.c.quantity)
    .cte("reduced")
)
_products = select(ORDER_ITEMS.c.product_id).where(ORDER_ITEMS.c.order_id == _ORDER)
_sold = (
    select(PRODUCTS.c.id, PRODUCTS.c.stock)
    .where(PRODUCTS.c.id.in_(_products), PRODUCTS.c.delete_time.is_(None))
    .order_by(PRODUCTS.c.id)
    .with_for_update(key_share=True)
    .cte("sold")
)
_REDUCE = Statement(
    select(*ITEM_COLUMNS, _sold.c.stock)
    .join_from(ORDER_ITEMS, _sold, _sold.c.id == ORDER_ITEMS.c.product_id, isouter=True)
    .where(ORDER_ITEMS.c.order_id == _ORDER)
    .order_by(ORDER_ITEMS.c.position)
    .add_cte(_removed, _reduced),
    PaidOrder,
    SoldItemRow,
)


async def begin(tx: Transaction, user_id: UUID) -> BegunCheckout | None:
    """Count a change of a locked user's cart, which is about to be ordered.

    Returns None when there is no cart.
    """
    return await tx.first(_BEGIN, ByUser(user_id))


async def place(
    tx: Transaction,
    *,
    order_id: UUID,
    user_id: UUID,
    items: Sequence[OrderItem],
    total: int,
    debit_id: UUID,
    shipping_address: str,
    commission_bps: int,
) -> list[OrderLine]:
    """Insert a PENDING order with its items, take them out of the stock, and return the lines.

    The products are locked, with enough in stock. What a seller sells gets the commission.

    Raises:
        CheckoutInProgress: The user has a PENDING order; the transaction is lost.
        TryAgain: Another order has the same number; the transaction is repeated.
    """
    new = NewOrder(
        order_id=order_id,
        user_id=user_id,
        total=total,
        debit_id=debit_id,
        shipping_address=shipping_address,
        positions=list(range(len(items))),
        product_ids=[item.product_id for item in items],
        names=[item.name for item in items],
        quantities=[item.quantity for item in items],
        unit_prices=[item.unit_price for item in items],
        commission_bps=commission_bps,
    )
    try:
        placed = await tx.all(_PLACE, new)
    except psycopg.errors.UniqueViolation as error:
        match error.diag.constraint_name:
            case "uq_orders_pending":
                raise CheckoutInProgress from error
            case "uq_orders_number":  # numbers are random, so the next one is another
                raise TryAgain from error
        raise
    lines = {line.product_id: line for line in placed}
    return [lines[item.product_id] for item in items]


async def pay(
    tx: Transaction, *, user_id: UUID, order_id: UUID
) -> tuple[Order, dict[UUID, StockChange]] | None:
    """Lock the user, make a PENDING order PAID, and take what was ordered out of the cart.

    What was added to the cart since stays there. Locks the products, too. Returns the order, and
    what has become of its products in the catalog: it had something of each, and has it for good
    now. Returns None when the order is not PENDING; then the user may not be locked.
    """
    which = PaidOrder(user_id, order_id)
    paid = await tx.first(_PAY, which)
    if paid is None:
        return None
    # A statement of its own: its snapshot must be younger than the lock of the user, and than
    # that of the cart, which is all that processes of 0.1 lock.
    items = await tx.all(_REDUCE, which)
    sold = {each.product_id: each.stock for each in items}
    changes = {product: StockChange(1, left) for product, left in sold.items() if left is not None}
    return order_of(paid, items), changes
