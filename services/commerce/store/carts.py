"""Carts. Their users are locked before they are written (see `users`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import TypeVar
from uuid import UUID

from sqlalchemy import (
    CTE,
    Delete,
    Insert,
    Integer,
    Update,
    Uuid,
    bindparam,
    delete,
    func,
    literal,
    select,
    true,
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
    PRODUCTS,
    QUANTITY_MAX,
    Cart,
    CartLine,
    Product,
)
from services.commerce.store import products
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class ByLine:
    """The parameters of a statement about one line of a cart."""

    user_id: UUID
    product_id: UUID


@dataclass(frozen=True, slots=True)
class LineQuantity(ByLine):
    """A line of a cart and its new quantity, or what is added to it."""

    quantity: int


@dataclass(frozen=True, slots=True)
class EmptiedCart:
    """A cart that has no lines any more."""

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


@dataclass(frozen=True, slots=True)
class ChangedCartRow(CartRow):
    """A cart and one of its lines after a change, and whether a line was changed."""

    is_changed: bool


_USER = bindparam("user_id", type_=Uuid)
_PRODUCT = bindparam("product_id", type_=Uuid)
_QUANTITY = bindparam("quantity", type_=Integer)
# What every change of a cart does.
CHANGED = {"version": CARTS.c.version + 1, "update_time": func.clock_timestamp()}

_LOCK = Statement(
    insert(CARTS)
    .values(user_id=_USER)
    .on_conflict_do_update(constraint="pk_carts", set_={"version": CARTS.c.version}),
    ByUser,
    NoRow,
)
_DELETE = Statement(delete(CARTS).where(CARTS.c.user_id == _USER), ByUser, NoRow)

_OF_CART = (CARTS.c.version, CARTS.c.update_time)
_opened = (
    insert(CARTS)
    .values(user_id=_USER)
    .on_conflict_do_update(constraint="pk_carts", set_=CHANGED)
    .returning(*_OF_CART)
    .cte("opened")
)
_touched = (
    update(CARTS)
    .where(CARTS.c.user_id == _USER)
    .values(**CHANGED)
    .returning(*_OF_CART)
    .cte("touched")
)

_own_lines = CART_ITEMS.c.user_id == _USER
_line = _own_lines & (CART_ITEMS.c.product_id == _PRODUCT)
_line_count = (
    select(func.count()).where(_own_lines, CART_ITEMS.c.product_id != _PRODUCT).scalar_subquery()
)
_new_line = insert(CART_ITEMS).from_select(
    ["user_id", "product_id", "position", "quantity", "known_price"],
    select(_USER, PRODUCTS.c.id, _opened.c.version, _QUANTITY, PRODUCTS.c.price).where(
        PRODUCTS.c.id == _PRODUCT,
        PRODUCTS.c.delete_time.is_(None),
        _line_count < literal(LINES_MAX),
    ),
)
_sum = CART_ITEMS.c.quantity + _new_line.excluded.quantity
_add = _new_line.on_conflict_do_update(
    constraint="pk_cart_items",
    set_={"quantity": _sum, "known_price": _new_line.excluded.known_price},
    where=_sum <= literal(QUANTITY_MAX),
)
# Setting a quantity also accepts the current price, which the caller has seen.
_set = (
    update(CART_ITEMS)
    .where(_line, PRODUCTS.c.id == CART_ITEMS.c.product_id)
    .values(quantity=_QUANTITY, known_price=PRODUCTS.c.price)
)
_remove = delete(CART_ITEMS).where(_line)
_OF_LINE = (
    CART_ITEMS.c.product_id,
    CART_ITEMS.c.position,
    CART_ITEMS.c.quantity,
    CART_ITEMS.c.known_price,
)


def _change(
    cart: CTE, change: Insert | Update | Delete, parameters: type[A]
) -> Statement[A, ChangedCartRow]:
    """Make a statement that changes a cart and one line, and returns the cart after that.

    A statement does not see its own change, so the changed line comes from RETURNING. Nobody
    else changes the other lines: an earlier statement has locked the user.

    Processes of 0.1, which run beside later ones during an update, lock the cart alone. This
    statement does not see their change of the same moment. So a cart can get one line more than
    its limit, and the answer can lack the change. AddCartItem keeps its answer with the
    idempotency key: a repeat gets the same again. The cart itself is right, and so is the next
    answer.
    """
    changed = change.returning(*_OF_LINE).cte("changed")
    others = select(*_OF_LINE).where(_own_lines, CART_ITEMS.c.product_id != _PRODUCT)
    is_kept = not isinstance(change, Delete)
    lines = (union_all(select(changed), others) if is_kept else others).subquery("lines")
    whole = lines.join(PRODUCTS, PRODUCTS.c.id == lines.c.product_id).join(
        CATEGORIES, CATEGORIES.c.id == PRODUCTS.c.category_id
    )
    return Statement(
        select(
            *products.COLUMNS,
            lines.c.position,
            lines.c.quantity,
            lines.c.known_price,
            PRODUCTS.c.delete_time,
            lines.c.product_id.is_not(None).label("has_line"),
            cart.c.version.label("cart_version"),
            cart.c.update_time.label("cart_update_time"),
            select(changed).exists().label("is_changed"),
        )
        .select_from(cart.outerjoin(whole, true()))
        .order_by(lines.c.position),
        parameters,
        ChangedCartRow,
    )


_ADD = _change(_opened, _add, LineQuantity)
_SET = _change(_touched, _set, LineQuantity)
_REMOVE = _change(_touched, _remove, ByLine)
_FIND_LINE = Statement(select(CART_ITEMS.c.product_id).where(_line), ByLine, FoundLine)
_CLEAR = Statement(
    select(_touched).add_cte(delete(CART_ITEMS).where(_own_lines).cte("cleared")),
    ByUser,
    EmptiedCart,
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


async def lock(tx: Transaction, user_id: UUID) -> None:
    """Lock the user's cart, make it if there is none, and change nothing.

    Processes of 0.1, which run beside later ones during an update, lock nothing else.
    """
    await tx.execute(_LOCK, ByUser(user_id))


async def add(tx: Transaction, *, user_id: UUID, product_id: UUID, quantity: int) -> Cart:
    """Add to a line of a locked user's cart, or append the line; make the cart if there is none.

    Returns the cart, which has one more change.

    Raises:
        ProductNotFound: There is no such product, or it has left the catalog.
        QuantityLimit: The line, or the number of lines, would be above its limit.
    """
    rows = await tx.all(_ADD, LineQuantity(user_id, product_id, quantity))
    if rows[0].is_changed:
        return _cart_of(user_id, rows)
    if await products.get(tx, product_id) is None:
        raise ProductNotFound
    if await tx.first(_FIND_LINE, ByLine(user_id, product_id)) is None:
        raise QuantityLimit(f"A cart has at most {LINES_MAX} lines. Remove a line first.")
    raise QuantityLimit


async def set_quantity(tx: Transaction, *, user_id: UUID, product_id: UUID, quantity: int) -> Cart:
    """Set the quantity of a line of a locked user's cart; 0 removes it. Returns the cart.

    Raises:
        CartNotFound, CartItemNotFound: There is no cart, or no such line.
    """
    if quantity:
        rows = await tx.all(_SET, LineQuantity(user_id, product_id, quantity))
    else:
        rows = await tx.all(_REMOVE, ByLine(user_id, product_id))
    if not rows:
        raise CartNotFound
    if not rows[0].is_changed:
        raise CartItemNotFound
    return _cart_of(user_id, rows)


async def clear(tx: Transaction, user_id: UUID) -> Cart:
    """Remove every line of a locked user's cart, if there is one. Returns the cart."""
    emptied = await tx.first(_CLEAR, ByUser(user_id))
    if emptied is None:
        return _cart_of(user_id, ())
    return Cart(user_id, [], emptied.version, emptied.update_time)


async def delete_cart(tx: Transaction, user_id: UUID) -> None:
    """Delete the cart with its lines."""
    await tx.execute(_DELETE, ByUser(user_id))


async def get(reader: Reader, user_id: UUID) -> Cart:
    """Return the user's cart; an empty one when there is none."""
    return _cart_of(user_id, await reader.all(_GET, ByUser(user_id)))


async def lock_lines(tx: Transaction, user_id: UUID) -> list[CartLine]:
    """Lock the products in a locked user's cart, and return its lines in the order of adding."""
    rows = await tx.all(_LOCK_LINES, ByUser(user_id))
    return [_line_of(row) for row in sorted(rows, key=lambda row: row.position)]


def _cart_of(user_id: UUID, rows: Sequence[CartRow]) -> Cart:
    """Return the cart of its rows; an empty one when there are none."""
    return Cart(
        user_id=user_id,
        lines=[_line_of(row) for row in rows if row.has_line],
        version=rows[0].cart_version if rows else 0,
        update_time=rows[0].cart_update_time if rows else None,
    )


_product_values = attrgetter(*(field.name for field in fields(Product)))


def _line_of(row: LineRow) -> CartLine:
    return CartLine(
        product=Product(*_product_values(row)),
        quantity=row.quantity,
        known_price=row.known_price,
        is_gone=row.delete_time is not None,
    )
