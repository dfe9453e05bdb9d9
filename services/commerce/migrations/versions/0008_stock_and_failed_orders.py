"""Lists by stock, reasons of its adjustments, what was ordered stays, failed orders go.

Writes wait while the indexes are built. Products of brands who were forgotten in the last days
leave the catalog. Those of brands who were forgotten before that are not known here any more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
LOSES = {
    "stock_adjustments": "SELECT count(*) FROM stock_adjustments",
}

LISTED = sa.text("delete_time IS NULL")
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
FORGET_SELLERS = """
UPDATE products SET seller_id = NULL, version = version + 1, update_time = clock_timestamp(),
       delete_time = coalesce(delete_time, clock_timestamp())
 WHERE seller_id IN (SELECT user_id FROM forgotten_users)
"""


def upgrade() -> None:
    op.create_index("ix_products_stock", "products", ["stock", "id"], postgresql_where=LISTED)
    op.create_index(
        "ix_products_category_stock",
        "products",
        ["category_id", "stock", "id"],
        postgresql_where=LISTED,
    )
    op.create_index(
        "ix_products_seller",
        "products",
        ["seller_id", "create_time", "id"],
        postgresql_where=sa.text("seller_id IS NOT NULL"),
    )
    op.execute(FORGET_SELLERS)
    op.create_table(
        "stock_adjustments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("delta", sa.Integer, nullable=False),
        sa.Column("stock", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column(
            "create_time",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_stock_adjustments"),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name="fk_stock_adjustments_product_id"
        ),
    )
    op.create_index(
        "ix_stock_adjustments_product_id", "stock_adjustments", ["product_id", "create_time", "id"]
    )
    op.create_index(
        "ix_orders_failed", "orders", ["update_time"], postgresql_where=sa.text("state = 'FAILED'")
    )
    refer_items(ondelete="CASCADE")
    op.execute(ORDER_ITEMS_STAY)


def downgrade() -> None:
    op.execute("DROP TRIGGER order_items_stay ON order_items")
    op.execute("DROP FUNCTION order_items_stay()")
    refer_items(ondelete=None)
    op.drop_index("ix_orders_failed")
    op.drop_table("stock_adjustments")
    for name in ("seller", "category_stock", "stock"):
        op.drop_index(f"ix_products_{name}")


def refer_items(*, ondelete: str | None) -> None:
    name = "fk_order_items_order_id"
    op.drop_constraint(name, "order_items")
    op.create_foreign_key(name, "order_items", "orders", ["order_id"], ["id"], ondelete=ondelete)
