"""Orders keep the time of their payment. Those of before have none."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
LOSES = {"orders": "SELECT count(*) FROM orders WHERE pay_time IS NOT NULL"}

PAID_ONLY = "pay_time IS NULL OR state NOT IN ('PENDING', 'FAILED')"


def upgrade() -> None:
    op.add_column("orders", sa.Column("pay_time", sa.DateTime(timezone=True)))
    op.create_check_constraint(op.f("ck_orders_pay_time"), "orders", PAID_ONLY)


def downgrade() -> None:
    op.drop_column("orders", "pay_time")
