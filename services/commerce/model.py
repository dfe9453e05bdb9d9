"""Commerce's tables, and its models: products, carts and orders."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import ConfigDict, with_config
from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    event,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from services.common import forgetting, ledger
from services.kernel.db import tables
from services.kernel.db.tables import new_metadata, timestamp
from services.kernel.money import MINOR_UNITS_MAX

QUANTITY_MAX = 9999
LINES_MAX = 100
PRODUCT_NAME_MAX = 200
# What a caller may set. Goods that come back may add to it.
STOCK_MAX = 10**9
TOTAL_MAX = MINOR_UNITS_MAX

# Names are sorted and searched without case, by PostgreSQL's own rules: an upgrade of
# the system's locales must not disorder an index.
NAME_KEY = 'lower(name COLLATE "pg_c_utf8")'
WORDS = f"to_tsvector('simple', regexp_replace({NAME_KEY}, '[^[:alnum:]]+', ' ', 'g'))"
LISTED = text("delete_time IS NULL")

METADATA = new_metadata()
SAGAS = tables.SAGAS.to_metadata(METADATA)
SAGA_BARRIERS = tables.SAGA_BARRIERS.to_metadata(METADATA)
IDEMPOTENCY = tables.IDEMPOTENCY.to_metadata(METADATA)
LEAST_CODE = tables.LEAST_CODE.to_metadata(METADATA)
LEDGER = ledger.LEDGER.to_metadata(METADATA)

CATEGORIES = Table(
    "categories",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text(collation="C"), Computed(NAME_KEY, persisted=True), nullable=False),
    Column("description", Text, nullable=False),
    timestamp("create_time", default=True),
    Index("uq_categories_name_key", "name_key", unique=True),
)

# `taken` counts the goods in orders that are not undone. The sum of stock and taken
# stays the same, so a lost or doubled return of goods shows.
PRODUCTS = Table(
    "products",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("category_id", Uuid, ForeignKey(CATEGORIES.c.id), nullable=False),
    Column("seller_id", Uuid),
    Column("name", Text, nullable=False),
    Column("name_key", Text(collation="C"), Computed(NAME_KEY, persisted=True), nullable=False),
    Column("words", TSVECTOR, Computed(WORDS, persisted=True), nullable=False),
    Column("description", Text, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("stock", Integer, nullable=False),
    Column("taken", BigInteger, nullable=False, server_default="0"),
    Column("image_url", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    timestamp("delete_time", nullable=True),
    CheckConstraint(f"price BETWEEN 0 AND {MINOR_UNITS_MAX}", name="price"),
    CheckConstraint("stock >= 0", name="stock"),
    CheckConstraint("taken >= 0", name="taken"),
    Index("ix_products_newest", "create_time", "id", postgresql_where=LISTED),
    Index("ix_products_price", "price", "id", postgresql_where=LISTED),
    Index("ix_products_name", "name_key", "id", postgresql_where=LISTED),
    Index("ix_products_stock", "stock", "id", postgresql_where=LISTED),
    Index(
        "ix_products_category_newest", "category_id", "create_time", "id", postgresql_where=LISTED
    ),
    Index("ix_products_category_price", "category_id", "price", "id", postgresql_where=LISTED),
    Index("ix_products_category_name", "category_id", "name_key", "id", postgresql_where=LISTED),
    Index("ix_products_category_stock", "category_id", "stock", "id", postgresql_where=LISTED),
    Index(
        "ix_products_seller",
        "seller_id",
        "create_time",
        "id",
        postgresql_where=text("seller_id IS NOT NULL"),
    ),
    Index("ix_products_words", "words", postgresql_using="gin", postgresql_where=LISTED),
)

# The changes of stocks that somebody has made by a number, with the reason.
STOCK_ADJUSTMENTS = Table(
    "stock_adjustments",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("product_id", Uuid, ForeignKey(PRODUCTS.c.id), nullable=False),
    Column("delta", Integer, nullable=False),
    Column("stock", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    timestamp("create_time", default=True),
    Index("ix_stock_adjustments_product_id", "product_id", "create_time", "id"),
)

# A transaction that writes something of a user locks this row first (see `store/users.py`).
# A forgotten user has none.
USERS = Table("users", METADATA, Column("user_id", Uuid, primary_key=True))

CARTS = Table(
    "carts",
    METADATA,
    Column("user_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False, server_default="1"),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
)

# `position` is the cart's version when the line was added, so lines keep their order.
CART_ITEMS = Table(
    "cart_items",
    METADATA,
    Column("user_id", Uuid, ForeignKey(CARTS.c.user_id, ondelete="CASCADE"), primary_key=True),
    Column("product_id", Uuid, ForeignKey(PRODUCTS.c.id), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("known_price", BigInteger, nullable=False),
    CheckConstraint(f"quantity BETWEEN 1 AND {QUANTITY_MAX}", name="quantity"),
)

# `debit_id` is the id of the wallet's transfer and of the checkout saga; `refund_id` is
# the same for the cancellation. `user_id` is absent once the user was forgotten.
IS_FAILED = literal_column("state = 'FAILED'", Boolean)

ORDERS = Table(
    "orders",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid),
    Column("state", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("failure_reason", Text),
    Column("debit_id", Uuid, nullable=False),
    Column("refund_id", Uuid),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    CheckConstraint(
        "state IN ('PENDING', 'PAID', 'FAILED', 'CANCELLING', 'CANCELLED')", name="state"
    ),
    CheckConstraint(f"total BETWEEN 0 AND {TOTAL_MAX}", name="total"),
    CheckConstraint("(state = 'FAILED') = (failure_reason IS NOT NULL)", name="failure_reason"),
    CheckConstraint(
        "(state IN ('CANCELLING', 'CANCELLED')) = (refund_id IS NOT NULL)", name="refund_id"
    ),
    Index("uq_orders_debit_id", "debit_id", unique=True),
    Index("uq_orders_pending", "user_id", unique=True, postgresql_where=text("state = 'PENDING'")),
    Index("ix_orders_user_id", "user_id", "create_time", "id"),
    Index("ix_orders_failed", "update_time", postgresql_where=IS_FAILED),
)

ORDER_ITEMS = Table(
    "order_items",
    METADATA,
    Column("order_id", Uuid, ForeignKey(ORDERS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("product_id", Uuid, ForeignKey(PRODUCTS.c.id), nullable=False),
    Column("name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    CheckConstraint(f"quantity BETWEEN 1 AND {QUANTITY_MAX}", name="quantity"),
    CheckConstraint(f"unit_price BETWEEN 0 AND {MINOR_UNITS_MAX}", name="unit_price"),
)

# What was ordered, and for how much, is the receipt, and decides what a refund gives back.
ORDER_ITEMS_STAY = """
CREATE FUNCTION order_items_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what was ordered is never changed' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER order_items_stay BEFORE UPDATE ON order_items FOR EACH ROW
  WHEN ((OLD.order_id, OLD.position, OLD.product_id, OLD.name, OLD.quantity, OLD.unit_price)
        IS DISTINCT FROM
        (NEW.order_id, NEW.position, NEW.product_id, NEW.name, NEW.quantity, NEW.unit_price))
  EXECUTE FUNCTION order_items_stay()
"""
event.listen(ORDER_ITEMS, "after_create", DDL(ORDER_ITEMS_STAY))  # type: ignore[no-untyped-call]

# Tombstones: Commerce refuses later writes of these users.
FORGOTTEN_USERS = forgetting.FORGOTTEN_USERS.to_metadata(METADATA)


class OrderState(StrEnum):
    """The state of an order."""

    PENDING = "PENDING"
    PAID = "PAID"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


class CartProblem(StrEnum):
    """A reason why a line of a cart cannot be bought as it stands."""

    GONE = "GONE"
    NO_STOCK = "NO_STOCK"
    PRICE_CHANGED = "PRICE_CHANGED"


class Sort(StrEnum):
    """The order in which products are listed."""

    NEWEST = "newest"
    CHEAPEST = "price"
    DEAREST = "-price"
    NAME = "name"
    NAME_BACKWARDS = "-name"
    STOCK = "stock"


@dataclass(frozen=True, slots=True)
class Category:
    """A category of products."""

    id: UUID
    name: str
    description: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the catalog.

    Attributes:
        seller_id: The brand that sells it; None for a first-party product.
        price: In minor units.
        stock: The number that can still be bought.
        version: The number of changes; what is sold or returned is none.
    """

    id: UUID
    category_id: UUID
    category_name: str
    seller_id: UUID | None
    name: str
    description: str
    price: int
    stock: int
    image_url: str
    version: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """A text that changes whenever the product does, or its stock."""
        return f"{self.version}-{self.stock}"

    def is_unchanged_since(self, etag: str) -> bool:
        """Whether only the stock may have moved since the product had this etag."""
        return etag.partition("-")[0] == str(self.version)


@dataclass(frozen=True, slots=True)
class ProductFields:
    """The fields of a product that a caller sets."""

    category_id: UUID
    name: str
    description: str
    price: int
    stock: int
    image_url: str

    @property
    def text_bytes(self) -> int:
        """The size of the texts in UTF-8."""
        return sum(len(each.encode()) for each in (self.name, self.description, self.image_url))


PRODUCT_FIELDS = tuple(field.name for field in fields(ProductFields))


@dataclass(frozen=True, slots=True)
class Filters:
    """The products to list, and their order; prices are in minor units.

    Attributes:
        words: Each must begin a word of the name.
    """

    category_id: UUID | None
    min_price: int | None
    max_price: int | None
    words: str | None
    sort: Sort
    min_stock: int | None = None
    max_stock: int | None = None

    @property
    def has_prices(self) -> bool:
        """Whether there is a bound of the price."""
        return self.min_price is not None or self.max_price is not None

    @property
    def has_stocks(self) -> bool:
        """Whether there is a bound of the stock."""
        return self.min_stock is not None or self.max_stock is not None


@dataclass(frozen=True, slots=True)
class CartLine:
    """A line of a cart, as it would be bought now.

    Attributes:
        known_price: The price when the user last set the quantity.
        is_gone: Whether the product has left the catalog.
    """

    product: Product
    quantity: int
    known_price: int
    is_gone: bool

    @property
    def total(self) -> int:
        """The current price of the line, in minor units."""
        return self.quantity * self.product.price

    @property
    def problems(self) -> list[CartProblem]:
        """The reasons why the line cannot be bought as it stands."""
        if self.is_gone:
            return [CartProblem.GONE]
        problems = []
        if self.product.stock < self.quantity:
            problems.append(CartProblem.NO_STOCK)
        if self.product.price != self.known_price:
            problems.append(CartProblem.PRICE_CHANGED)
        return problems


@dataclass(frozen=True, slots=True)
class Cart:
    """The cart of a user; without a row it has version 0 and no time."""

    user_id: UUID
    lines: list[CartLine]
    version: int
    update_time: datetime | None

    @property
    def subtotal(self) -> int:
        """The price of the lines that can be bought, in minor units.

        A line whose price has changed can be bought, at its current price.
        """
        blocking = {CartProblem.GONE, CartProblem.NO_STOCK}
        return sum(line.total for line in self.lines if not blocking & set(line.problems))

    @property
    def etag(self) -> str:
        """A text that changes whenever the cart does, or one of its products."""
        if not self.lines:
            return str(self.version)
        shown = [(line.product.id.hex, line.product.etag, line.is_gone) for line in self.lines]
        return f"{self.version}-{zlib.crc32(repr(shown).encode()):08x}"


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class OrderItem:
    """A line of an order: a snapshot that never changes. Sagas keep it as JSON."""

    product_id: UUID
    name: str
    quantity: int
    unit_price: int

    @property
    def total(self) -> int:
        """The price of the line, in minor units."""
        return self.quantity * self.unit_price


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Order:
    """An order: a cart that was bought, or will be. Sagas keep it as JSON.

    Attributes:
        id: None when the order was only validated.
        user_id: None once the user was forgotten.
        total: In minor units.
        debit_id: The transfer that pays it, and the id of the checkout saga.
        refund_id: The transfer that refunds it, and the id of the cancellation saga.
    """

    id: UUID | None
    user_id: UUID | None
    state: OrderState
    items: list[OrderItem]
    total: int
    create_time: datetime
    failure_reason: str | None
    debit_id: UUID | None
    refund_id: UUID | None
