"""Categories and products, carts, orders, and what sagas need."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from services.kernel.db.tables import SAGA_NOW

revision = "0001"
down_revision = None
LOSES = {
    "forgotten_users": "SELECT count(*) FROM forgotten_users",
    "order_items": "SELECT count(*) FROM order_items",
    "orders": "SELECT count(*) FROM orders",
    "cart_items": "SELECT count(*) FROM cart_items",
    "carts": "SELECT count(*) FROM carts",
    "products": "SELECT count(*) FROM products",
    "categories": "SELECT count(*) FROM categories",
    "idempotency": "SELECT count(*) FROM idempotency",
    "saga_barriers": "SELECT count(*) FROM saga_barriers",
    "sagas": "SELECT count(*) FROM sagas",
}

NAME_KEY = 'lower(name COLLATE "pg_c_utf8")'
WORDS = f"to_tsvector('simple', regexp_replace({NAME_KEY}, '[^[:alnum:]]+', ' ', 'g'))"
LISTED = sa.text("delete_time IS NULL")
AMOUNT = "BETWEEN 0 AND 1000000000000"
QUANTITY = "quantity BETWEEN 1 AND 9999"


def moment(name: str, *, nullable: bool = False, default: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=sa.text("clock_timestamp()") if default else None,
    )


def name_key() -> sa.Column[object]:
    return sa.Column(
        "name_key", sa.Text(collation="C"), sa.Computed(NAME_KEY, persisted=True), nullable=False
    )


def upgrade() -> None:
    op.execute(SAGA_NOW)
    create_sagas()
    create_barriers_and_keys()
    create_catalog()
    create_carts()
    create_orders()
    op.create_table(
        "forgotten_users",
        sa.Column("user_id", sa.Uuid, nullable=False),
        moment("create_time", default=True),
        sa.PrimaryKeyConstraint("user_id", name="pk_forgotten_users"),
    )
    op.create_index("ix_forgotten_users_create_time", "forgotten_users", ["create_time"])


def create_sagas() -> None:
    op.create_table(
        "sagas",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("result", JSONB),
        sa.Column("error", JSONB),
        sa.Column("user_id", sa.Uuid),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
        sa.Column("last_error", sa.Text),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_epoch", sa.Integer, nullable=False, server_default="1"),
        moment("next_run_at"),
        moment("deadline_at", nullable=True),
        moment("parked_at", nullable=True),
        moment("create_time", default=True),
        moment("update_time", default=True),
        sa.PrimaryKeyConstraint("id", name="pk_sagas"),
        sa.CheckConstraint(
            "state IN ('RUNNING', 'COMPENSATING', 'DONE', 'ABORTED')", name=op.f("ck_sagas_state")
        ),
    )
    op.create_index(
        "ix_sagas_due",
        "sagas",
        ["next_run_at"],
        postgresql_where=sa.text("state IN ('RUNNING', 'COMPENSATING')"),
    )
    op.create_index("ix_sagas_user_id", "sagas", ["user_id"])
    op.create_index("ix_sagas_create_time", "sagas", ["create_time", "id"])


def create_barriers_and_keys() -> None:
    op.create_table(
        "saga_barriers",
        sa.Column("saga_id", sa.Uuid, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reply", JSONB),
        moment("not_after", nullable=True),
        moment("create_time", default=True),
        sa.PrimaryKeyConstraint("saga_id", "branch", name="pk_saga_barriers"),
        sa.CheckConstraint(
            "state IN ('DONE', 'REJECTED', 'CANCELLED')", name=op.f("ck_saga_barriers_state")
        ),
    )
    op.create_index("ix_saga_barriers_create_time", "saga_barriers", ["create_time"])
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("key_hmac", sa.LargeBinary, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("saga_id", sa.Uuid),
        sa.Column("reply", JSONB),
        sa.Column("error", JSONB),
        moment("expire_time"),
        sa.PrimaryKeyConstraint("scope", "method", "key_hmac", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_saga_id", "idempotency", ["saga_id"])
    op.create_index("ix_idempotency_expire_time", "idempotency", ["expire_time"])


def create_catalog() -> None:
    op.create_table(
        "categories",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        name_key(),
        sa.Column("description", sa.Text, nullable=False),
        moment("create_time", default=True),
        sa.PrimaryKeyConstraint("id", name="pk_categories"),
    )
    op.create_index("uq_categories_name_key", "categories", ["name_key"], unique=True)
    op.create_table(
        "products",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("category_id", sa.Uuid, nullable=False),
        sa.Column("seller_id", sa.Uuid),
        sa.Column("name", sa.Text, nullable=False),
        name_key(),
        sa.Column("words", TSVECTOR, sa.Computed(WORDS, persisted=True), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("stock", sa.Integer, nullable=False),
        sa.Column("taken", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("image_url", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        moment("create_time", default=True),
        moment("update_time", default=True),
        moment("delete_time", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name="fk_products_category_id"),
        sa.CheckConstraint(f"price {AMOUNT}", name=op.f("ck_products_price")),
        sa.CheckConstraint("stock >= 0", name=op.f("ck_products_stock")),
        sa.CheckConstraint("taken >= 0", name=op.f("ck_products_taken")),
    )
    for name, column in (("newest", "create_time"), ("price", "price"), ("name", "name_key")):
        columns = [column, "id"]
        op.create_index(f"ix_products_{name}", "products", columns, postgresql_where=LISTED)
        op.create_index(
            f"ix_products_category_{name}",
            "products",
            ["category_id", *columns],
            postgresql_where=LISTED,
        )
    op.create_index(
        "ix_products_words", "products", ["words"], postgresql_using="gin", postgresql_where=LISTED
    )


def create_carts() -> None:
    op.create_table(
        "carts",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        moment("create_time", default=True),
        moment("update_time", default=True),
        sa.PrimaryKeyConstraint("user_id", name="pk_carts"),
    )
    op.create_table(
        "cart_items",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("known_price", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "product_id", name="pk_cart_items"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["carts.user_id"], name="fk_cart_items_user_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_cart_items_product_id"),
        sa.CheckConstraint(QUANTITY, name=op.f("ck_cart_items_quantity")),
    )


def create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("failure_reason", sa.Text),
        sa.Column("debit_id", sa.Uuid, nullable=False),
        sa.Column("refund_id", sa.Uuid),
        moment("create_time", default=True),
        moment("update_time", default=True),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.CheckConstraint(
            "state IN ('PENDING', 'PAID', 'FAILED', 'CANCELLING', 'CANCELLED')",
            name=op.f("ck_orders_state"),
        ),
        sa.CheckConstraint(f"total {AMOUNT}", name=op.f("ck_orders_total")),
        sa.CheckConstraint(
            "(state = 'FAILED') = (failure_reason IS NOT NULL)",
            name=op.f("ck_orders_failure_reason"),
        ),
        sa.CheckConstraint(
            "(state IN ('CANCELLING', 'CANCELLED')) = (refund_id IS NOT NULL)",
            name=op.f("ck_orders_refund_id"),
        ),
    )
    op.create_index("uq_orders_debit_id", "orders", ["debit_id"], unique=True)
    op.create_index(
        "uq_orders_pending",
        "orders",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_index("ix_orders_user_id", "orders", ["user_id", "create_time", "id"])
    op.create_table(
        "order_items",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("unit_price", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "position", name="pk_order_items"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_items_order_id"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_order_items_product_id"),
        sa.CheckConstraint(QUANTITY, name=op.f("ck_order_items_quantity")),
        sa.CheckConstraint(f"unit_price {AMOUNT}", name=op.f("ck_order_items_unit_price")),
    )


def downgrade() -> None:
    for table in (
        "forgotten_users",
        "order_items",
        "orders",
        "cart_items",
        "carts",
        "products",
        "categories",
        "idempotency",
        "saga_barriers",
        "sagas",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION saga_now()")
