"""Lists for sellers. Writes to products and lines of orders wait while two indexes are built."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

LISTED = "seller_id IS NOT NULL AND delete_time IS NULL"
UNSHIPPED = "seller_id IS NOT NULL AND shipment_id IS NULL AND cancelled_quantity < quantity"


def upgrade() -> None:
    op.create_index(
        "ix_products_seller_newest",
        "products",
        ["seller_id", "create_time", "id"],
        postgresql_where=sa.text(LISTED),
    )
    op.create_index(
        "ix_order_items_unshipped",
        "order_items",
        ["seller_id", "order_id"],
        postgresql_where=sa.text(UNSHIPPED),
    )


def downgrade() -> None:
    op.drop_index("ix_order_items_unshipped")
    op.drop_index("ix_products_seller_newest")
