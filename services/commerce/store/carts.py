"""Carts. Their users are locked before they are written (see `users`)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from sqlalchemy import (
    Integer,
    Uuid,
    bindparam,
    delete,
    func,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.commerce.errors import CartItemNotFound, CartNotFound, ProductNotFound, QuantityLimit
from services.commerce.model import (
    CART_ITEMS,
    CARTS,
    CATEGORIES,
    LINES_MAX,
    ORDER_ITEMS,
    PRODUCTS,
    QUANTITY_MAX,
    Cart,
    CartLine,
    Product,
)
from services.commerce.store import products
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement


@dataclass(frozen=True, slots=True)
class ByLine:
    """The parameters of a statement about one line of a cart."""

    user_id: UUID
    product_id: UUID


@dataclass(frozen=True, slots=True)
class LineQuantity(ByLine):
    """A line of a cart and its new quantity."""

    quantity: int


@dataclass(frozen=True, slots=True)
class AddedLine(ByLine):
    """A line to append, or to add to the existing one."""

    quantity: int
    position: int


@dataclass(frozen=True, slots=True)
class OrderedLines:
    """The lines of a cart that are in an order."""

    user_id: UUID
    order_id: UUID


@dataclass(frozen=True, slots=True)
class OpenedCart:
    """A cart that was made, or has one more change."""

    version: int
    update_time: datetime


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A line of a cart that exists."""

    product_id: UUID


@dataclass(frozen=True, slots=True)
class LineRow(Product):
    """A product and the line of a cart that it is in."""

    position: int
    quantity: int
    known_price: int
    delete_time: datetime | None


@dataclass(frozen=True, slots=True)
class CartRow(LineRow):
    """A cart and one of its lines; without a line, the columns of lines are NULL."""

    has_line: bool
    cart_version: int
    cart_update_time: datetime


_USER = bindparam("user_id", type_=Uuid)
_PRODUCT = bindparam("product_id", type_=Uuid)
_QUANTITY = bindparam("quantity", type_=Integer)
_CHANGED = {"version": CARTS.c.version + 1, "update_time": func.clock_timestamp()}

_OPEN = Statement(
    insert(CARTS)
    .values(user_id=_USER)
    .on_conflict_do_update(constraint="pk_carts", set_=_CHANGED)
    .returning(CARTS.c.version, CARTS.c.update_time),
    ByUser,
    OpenedCart,
)
_LOCK = Statement(
    insert(CARTS)
    .values(user_id=_USER)
    .on_conflict_do_update(constraint="pk_carts", set_={"version": CARTS.c.version}),
    ByUser,
    NoRow,
)
_TOUCH = Statement(
    update(CARTS).where(CARTS.c.user_id == _USER).values(**_CHANGED),
    ByUser,
    NoRow,
)
_DELETE = Statement(delete(CARTS).where(CARTS.c.user_id == _USER), ByUser, NoRow)

_own_lines = CART_ITEMS.c.user_id == _USER
_line = _own_lines & (CART_ITEMS.c.product_id == _PRODUCT)
_line_count = (
    select(func.count()).where(_own_lines, CART_ITEMS.c.product_id != _PRODUCT).scalar_subquery()
)
_new_line = insert(CART_ITEMS).from_select(
    ["user_id", "product_id", "position", "quantity", "known_price"],
    select(
        _USER, PRODUCTS.c.id, bindparam("position", type_=Integer), _QUANTITY, PRODUCTS.c.price
    ).where(
        PRODUCTS.c.id == _PRODUCT,
        PRODUCTS.c.delete_time.is_(None),
        _line_count < literal(LINES_MAX),
    ),
)
_sum = CART_ITEMS.c.quantity + _new_line.excluded.quantity
_OF_LINE = ("product_id", "position", "quantity", "known_price")
_added = (
    _new_line.on_conflict_do_update(
        constraint="pk_cart_items",
        set_={"quantity": _sum, "known_price": _new_line.excluded.known_price},
        where=_sum <= literal(QUANTITY_MAX),
    )
    .returning(*(CART_ITEMS.c[name] for name in _OF_LINE))
    .cte("added")
)
# A statement does not see its own change, so the added line comes from RETURNING. The
# user is locked, so no other transaction changes the other lines.
_lines = union_all(
    select(_added),
    select(*(CART_ITEMS.c[name] for name in _OF_LINE)).where(
        _own_lines, CART_ITEMS.c.product_id != _PRODUCT
    ),
).subquery("lines")
_ADD = Statement(
    select(
        *products.COLUMNS,
        _lines.c.position,
        _lines.c.quantity,
        _lines.c.known_price,
        PRODUCTS.c.delete_time,
    )
    .select_from(
        _lines.join(PRODUCTS, PRODUCTS.c.id == _lines.c.product_id).join(
            CATEGORIES, CATEGORIES.c.id == PRODUCTS.c.category_id
        )
    )
    .order_by(_lines.c.position),
    AddedLine,
    LineRow,
)
_FIND_LINE = Statement(select(CART_ITEMS.c.product_id).where(_line), ByLine, FoundLine)
# Setting a quantity also accepts the current price, which the caller has seen.
_SET = Statement(
    update(CART_ITEMS)
    .where(_line, PRODUCTS.c.id == CART_ITEMS.c.product_id)
    .values(quantity=_QUANTITY, known_price=PRODUCTS.c.price),
    LineQuantity,
    NoRow,
)
_REMOVE = Statement(delete(CART_ITEMS).where(_line), ByLine, NoRow)
_CLEAR = Statement(delete(CART_ITEMS).where(_own_lines), ByUser, NoRow)

_ordered = (
    (ORDER_ITEMS.c.order_id == bindparam("order_id", type_=Uuid))
    & (ORDER_ITEMS.c.product_id == CART_ITEMS.c.product_id)
    & _own_lines
)
_REMOVE_ORDERED = Statement(
    delete(CART_ITEMS).where(_ordered, CART_ITEMS.c.quantity <= ORDER_ITEMS.c.quantity),
    OrderedLines,
    NoRow,
)
_REDUCE_ORDERED = Statement(
    update(CART_ITEMS)
    .where(_ordered)
    .values(quantity=CART_ITEMS.c.quantity - ORDER_ITEMS.c.quantity),
    OrderedLines,
    NoRow,
)

_LINE_COLUMNS = (
    *products.COLUMNS,
    CART_ITEMS.c.position,
    CART_ITEMS.c.quantity,
    CART_ITEMS.c.known_price,
    PRODUCTS.c.delete_time,
)
_products_of_lines = CART_ITEMS.join(PRODUCTS, PRODUCTS.c.id == CART_ITEMS.c.product_id).join(
    CATEGORIES, CATEGORIES.c.id == PRODUCTS.c.category_id
)
_GET = Statement(
    select(
        *_LINE_COLUMNS,
        CART_ITEMS.c.user_id.is_not(None).label("has_line"),
        CARTS.c.version.label("cart_version"),
        CARTS.c.update_time.label("cart_update_time"),
    )
    .select_from(CARTS.outerjoin(_products_of_lines, CART_ITEMS.c.user_id == CARTS.c.user_id))
    .where(CARTS.c.user_id == _USER)
    .order_by(CART_ITEMS.c.position),
    ByUser,
    CartRow,
)
# Every transaction locks products in the order of their ids: no two can wait for each other.
_LOCK_LINES = Statement(
    select(*_LINE_COLUMNS)
    .select_from(_products_of_lines)
    .where(_own_lines)
    .order_by(PRODUCTS.c.id)
    .with_for_update(of=PRODUCTS, key_share=True),
    ByUser,
    LineRow,
)


async def open_cart(tx: Transaction, user_id: UUID) -> Cart:
    """Count a change of the user's cart, make it if there is none; return it without its lines."""
    opened = (await tx.all(_OPEN, ByUser(user_id)))[0]
    return Cart(user_id, [], opened.version, opened.update_time)


async def touch(tx: Transaction, user_id: UUID) -> bool:
    """Count a change of the user's cart; return False when there is no cart."""
    return await tx.execute(_TOUCH, ByUser(user_id)) == 1


async def lock(tx: Transaction, user_id: UUID) -> None:
    """Lock the user's cart, make it if there is none, and change nothing.

    Processes of 0.1, which run beside later ones during an update, lock nothing else.
    """
    await tx.execute(_LOCK, ByUser(user_id))


async def add(tx: Transaction, cart: Cart, *, product_id: UUID, quantity: int) -> Cart:
    """Add to a line of a locked user's cart, or append the line; return the cart with its lines.

    Raises:
        ProductNotFound: There is no such product, or it has left the catalog.
        QuantityLimit: The line, or the number of lines, would be above its limit.
    """
    rows = await tx.all(_ADD, AddedLine(cart.user_id, product_id, quantity, cart.version))
    if any(row.id == product_id for row in rows):
        return replace(cart, lines=[_line_of(row) for row in rows])
    if await products.get(tx, product_id) is None:
        raise ProductNotFound
    if await tx.first(_FIND_LINE, ByLine(cart.user_id, product_id)) is None:
        raise QuantityLimit(f"A cart has at most {LINES_MAX} lines. Remove a line first.")
    raise QuantityLimit


async def set_quantity(tx: Transaction, *, user_id: UUID, product_id: UUID, quantity: int) -> None:
    """Set the quantity of a line; 0 removes it.

    Raises:
        CartNotFound, CartItemNotFound: There is no cart, or no such line.
    """
    if not await touch(tx, user_id):
        raise CartNotFound
    if quantity:
        changed = await tx.execute(_SET, LineQuantity(user_id, product_id, quantity))
    else:
        changed = await tx.execute(_REMOVE, ByLine(user_id, product_id))
    if not changed:
        raise CartItemNotFound


async def clear(tx: Transaction, user_id: UUID) -> None:
    """Remove every line and count a change."""
    if await touch(tx, user_id):
        await tx.execute(_CLEAR, ByUser(user_id))


async def reduce(tx: Transaction, *, user_id: UUID, order_id: UUID) -> None:
    """Take the ordered quantities out of a locked user's cart, and leave those added since."""
    ordered = OrderedLines(user_id, order_id)
    await tx.execute(_REMOVE_ORDERED, ordered)
    await tx.execute(_REDUCE_ORDERED, ordered)


async def delete_cart(tx: Transaction, user_id: UUID) -> None:
    """Delete the cart with its lines."""
    await tx.execute(_DELETE, ByUser(user_id))


async def get(reader: Reader, user_id: UUID) -> Cart:
    """Return the user's cart; an empty one when there is none."""
    rows = await reader.all(_GET, ByUser(user_id))
    return Cart(
        user_id=user_id,
        lines=[_line_of(row) for row in rows if row.has_line],
        version=rows[0].cart_version if rows else 0,
        update_time=rows[0].cart_update_time if rows else None,
    )


async def lock_lines(tx: Transaction, user_id: UUID) -> list[CartLine]:
    """Lock the products in a locked user's cart, and return its lines in the order of adding."""
    rows = await tx.all(_LOCK_LINES, ByUser(user_id))
    return [_line_of(row) for row in sorted(rows, key=lambda row: row.position)]


_product_values = attrgetter(*(field.name for field in fields(Product)))


def _line_of(row: LineRow) -> CartLine:
    return CartLine(
        product=Product(*_product_values(row)),
        quantity=row.quantity,
        known_price=row.known_price,
        is_gone=row.delete_time is not None,
    )
