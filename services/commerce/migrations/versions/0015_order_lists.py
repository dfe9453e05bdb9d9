"""Lists of all users' orders. Writes to orders wait while three indexes are built."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_index("ix_orders_create_time", "orders", ["create_time", "id"])
    op.create_index("ix_orders_state", "orders", ["state", "create_time", "id"])
    op.create_index("ix_order_items_product", "order_items", ["product_id", "order_id"])


def downgrade() -> None:
    op.drop_index("ix_order_items_product")
    op.drop_index("ix_orders_state")
    op.drop_index("ix_orders_create_time")
