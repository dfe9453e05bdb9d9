"""Commerce's tables."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    event,
    false,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from services.commerce.model import search
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

# Names are sorted without case, by PostgreSQL's own rules: an upgrade of the system's locales
# must not disorder an index.
NAME_KEY = 'lower(name COLLATE "pg_c_utf8")'
WORDS = "search_vector(name, description)"
UNIQUE_NAME = "unique_name(name)"
LISTED = text("delete_time IS NULL")

METADATA = new_metadata()
for _ddl in (*search.EXTENSIONS, *search.FUNCTIONS):
    event.listen(METADATA, "before_create", tables.ddl(_ddl))
SAGAS = tables.SAGAS.to_metadata(METADATA)
SAGA_BARRIERS = tables.SAGA_BARRIERS.to_metadata(METADATA)
IDEMPOTENCY = tables.IDEMPOTENCY.to_metadata(METADATA)
LEAST_CODE = tables.LEAST_CODE.to_metadata(METADATA)
# The buyer whom a stored reply is about: a seller's request has a scope of its own.
REPLY_USER_ID = literal_column("reply ->> 'user_id'", Text)
Index(
    "ix_idempotency_reply_user_id",
    IDEMPOTENCY.c.reply["user_id"].astext,
    postgresql_where=REPLY_USER_ID.is_not(None),
)
LEDGER = ledger.LEDGER.to_metadata(METADATA)
AUDIT_LOG = tables.audit_log(METADATA)
EVENTS = tables.events(METADATA)

CATEGORIES = Table(
    "categories",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text(collation="C"), Computed(NAME_KEY, persisted=True), nullable=False),
    Column("description", Text, nullable=False),
    timestamp("create_time", default=True),
    # Categories of before whose names differ in more than case alone, and are one name now.
    Column("is_twin", Boolean, nullable=False, server_default=false()),
    Column(
        "unique_name", Text(collation="C"), Computed(UNIQUE_NAME, persisted=True), nullable=False
    ),
    Index("uq_categories_name_key", "name_key", unique=True),
    Index(
        "uq_categories_unique_name",
        "unique_name",
        unique=True,
        postgresql_where=text("NOT is_twin"),
    ),
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
    Column("thumbnail_url", Text, nullable=False, server_default=""),
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
    Index(
        "ix_products_seller_newest",
        "seller_id",
        "create_time",
        "id",
        postgresql_where=text("seller_id IS NOT NULL AND delete_time IS NULL"),
    ),
    Index("ix_products_words", "words", postgresql_using="gin", postgresql_where=LISTED),
)

# Uploaded pictures. Each belongs to one product and leaves with it, or with the next picture. The
# id is a digest of the product and the picture, so that what it names never changes.
IMAGES = Table(
    "images",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("product_id", Uuid, ForeignKey(PRODUCTS.c.id), nullable=False),
    Column("data", LargeBinary, nullable=False),
    timestamp("create_time", default=True),
    Index("ix_images_product_id", "product_id"),
)

# The words of all names, for suggestions. They are collected anew every hour.
SEARCH_WORDS = Table(
    "search_words",
    METADATA,
    Column("word", Text(collation="C"), primary_key=True),
    Column("products", Integer, nullable=False),
    Index(
        "ix_search_words_trigrams",
        "word",
        postgresql_using="gin",
        postgresql_ops={"word": "public.gin_trgm_ops"},
    ),
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

IS_FAILED = literal_column("state = 'FAILED'", Boolean)
IS_PENDING = literal_column("orders.state = 'PENDING'", Boolean)
IS_OPEN = literal_column("state = 'OPEN'", Boolean)
# Something of the line is left to ship.
IS_UNSHIPPED = literal_column("shipment_id IS NULL AND cancelled_quantity < quantity", Boolean)

# What people call an order on the phone: eight characters of Crockford's base32, from the
# random bytes of a UUID.
ORDER_NUMBER = """
CREATE FUNCTION order_number() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT string_agg(
           substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + (get_byte(random, place) & 31), 1), '')
    FROM uuid_send(gen_random_uuid()) AS random, unnest('{0,1,2,3,4,5,10,11}'::int[]) AS place
$$
"""
event.listen(METADATA, "before_create", tables.ddl(ORDER_NUMBER))

# `debit_id` is the id of the wallet's transfer and of the checkout saga; `refund_id` names the
# refund that has left nothing of the order. `user_id` is absent once the user was forgotten.
ORDERS = Table(
    "orders",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid),
    Column("state", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("failure_reason", Text),
    Column("debit_id", Uuid, nullable=False),
    Column("refund_id", Uuid, ForeignKey("refunds.id", use_alter=True)),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    Column("number", Text, nullable=False, server_default=text("order_number()")),
    Column("shipping_address", Text, nullable=False, server_default=""),
    timestamp("pay_time", nullable=True),
    CheckConstraint(
        "state IN ('PENDING', 'PAID', 'FAILED', 'CANCELLING', 'CANCELLED', 'FULFILLED')",
        name="state",
    ),
    CheckConstraint(f"total BETWEEN 0 AND {TOTAL_MAX}", name="total"),
    CheckConstraint("(state = 'FAILED') = (failure_reason IS NOT NULL)", name="failure_reason"),
    CheckConstraint(
        "(state IN ('CANCELLING', 'CANCELLED')) = (refund_id IS NOT NULL)", name="refund_id"
    ),
    CheckConstraint("pay_time IS NULL OR state NOT IN ('PENDING', 'FAILED')", name="pay_time"),
    Index("uq_orders_debit_id", "debit_id", unique=True),
    Index("uq_orders_number", "number", unique=True),
    Index("uq_orders_pending", "user_id", unique=True, postgresql_where=text("state = 'PENDING'")),
    Index("ix_orders_user_id", "user_id", "create_time", "id"),
    Index("ix_orders_create_time", "create_time", "id"),
    Index("ix_orders_state", "state", "create_time", "id"),
    Index("ix_orders_failed", "update_time", postgresql_where=IS_FAILED),
)

SHIPMENTS = Table(
    "shipments",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, ForeignKey(ORDERS.c.id, ondelete="CASCADE"), nullable=False),
    Column("tracking", Text, nullable=False),
    timestamp("create_time", default=True),
    Index("ix_shipments_order_id", "order_id", "create_time", "id"),
)

# `seller_id` is who sold it; absent for first-party products, and once the seller was
# forgotten. `commission_bps` is the part of the price, in 1/10000, that the seller does not get;
# it is absent where nobody gets a share. What is cancelled or came back counts as soon as its
# refund has begun.
ORDER_ITEMS = Table(
    "order_items",
    METADATA,
    Column("order_id", Uuid, ForeignKey(ORDERS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("product_id", Uuid, ForeignKey(PRODUCTS.c.id), nullable=False),
    Column("name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    Column("seller_id", Uuid),
    Column("shipment_id", Uuid, ForeignKey(SHIPMENTS.c.id)),
    Column("cancelled_quantity", Integer, nullable=False, server_default="0"),
    Column("returned_quantity", Integer, nullable=False, server_default="0"),
    Column("restocked_quantity", Integer, nullable=False, server_default="0"),
    Column("commission_bps", Integer),
    CheckConstraint(f"quantity BETWEEN 1 AND {QUANTITY_MAX}", name="quantity"),
    CheckConstraint(f"unit_price BETWEEN 0 AND {MINOR_UNITS_MAX}", name="unit_price"),
    CheckConstraint(
        "cancelled_quantity >= 0 AND returned_quantity >= 0"
        " AND cancelled_quantity + returned_quantity <= quantity",
        name="refunded",
    ),
    CheckConstraint("restocked_quantity BETWEEN 0 AND returned_quantity", name="restocked"),
    CheckConstraint("shipment_id IS NOT NULL OR returned_quantity = 0", name="returned"),
    CheckConstraint("commission_bps BETWEEN 0 AND 10000", name="commission_bps"),
    Index("ix_order_items_product", "product_id", "order_id"),
    Index(
        "ix_order_items_seller",
        "seller_id",
        "order_id",
        postgresql_where=text("seller_id IS NOT NULL"),
    ),
    Index(
        "ix_order_items_unshipped",
        "seller_id",
        "order_id",
        postgresql_where=text(f"seller_id IS NOT NULL AND {IS_UNSHIPPED}"),
    ),
)

# A refund has the id of its saga and of its transfer.
REFUNDS = Table(
    "refunds",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, ForeignKey(ORDERS.c.id, ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("is_restocked", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    timestamp("create_time", default=True),
    CheckConstraint("kind IN ('CANCEL', 'RETURN')", name="kind"),
    CheckConstraint("state IN ('OPEN', 'DONE')", name="state"),
    CheckConstraint(f"amount BETWEEN 0 AND {TOTAL_MAX}", name="amount"),
    Index("ix_refunds_order_id", "order_id", "create_time", "id"),
    Index("uq_refunds_open", "order_id", unique=True, postgresql_where=IS_OPEN),
)

# `share` goes back from the seller; it is kept, because it follows from what was left then.
REFUND_ITEMS = Table(
    "refund_items",
    METADATA,
    Column("refund_id", Uuid, ForeignKey(REFUNDS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("product_id", Uuid, ForeignKey(PRODUCTS.c.id), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("share", BigInteger, nullable=False, server_default="0"),
    CheckConstraint(f"quantity BETWEEN 1 AND {QUANTITY_MAX}", name="quantity"),
    CheckConstraint(f"share BETWEEN 0 AND {TOTAL_MAX}", name="share"),
)

# What was ordered, and for how much, is the receipt, and decides what a refund gives back.
ORDER_ITEMS_STAY = """
CREATE FUNCTION order_items_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what was ordered is never changed' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER order_items_stay BEFORE UPDATE ON order_items FOR EACH ROW
  WHEN ((OLD.order_id, OLD.position, OLD.product_id, OLD.name, OLD.quantity, OLD.unit_price,
         OLD.commission_bps)
        IS DISTINCT FROM
        (NEW.order_id, NEW.position, NEW.product_id, NEW.name, NEW.quantity, NEW.unit_price,
         NEW.commission_bps))
  EXECUTE FUNCTION order_items_stay()
"""
event.listen(ORDER_ITEMS, "after_create", tables.ddl(ORDER_ITEMS_STAY))

# Tombstones: Commerce refuses later writes of these users.
FORGOTTEN_USERS = forgetting.FORGOTTEN_USERS.to_metadata(METADATA)
