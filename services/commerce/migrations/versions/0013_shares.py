"""Lines of orders say which part of their price the seller gets, and refunds what goes back.

Orders of before give no shares. Processes of before would leave out the shares of an order, so
they are out: see the least code.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
LOSES = {
    "order_items": "SELECT count(*) FROM order_items WHERE commission_bps IS NOT NULL",
    "refund_items": "SELECT count(*) FROM refund_items WHERE share > 0",
    "sagas": "SELECT count(*) FROM sagas WHERE kind = 'release' OR state = 'COMPENSATING'",
}

STAYS = """
CREATE TRIGGER order_items_stay BEFORE UPDATE ON order_items FOR EACH ROW
  WHEN (({old}) IS DISTINCT FROM ({new}))
  EXECUTE FUNCTION order_items_stay()
"""
BEFORE = ("order_id", "position", "product_id", "name", "quantity", "unit_price")
NOW = (*BEFORE, "commission_bps")


def upgrade() -> None:
    op.add_column("order_items", sa.Column("commission_bps", sa.Integer))
    op.create_check_constraint(
        op.f("ck_order_items_commission_bps"),
        "order_items",
        "commission_bps BETWEEN 0 AND 10000",
    )
    op.add_column(
        "refund_items", sa.Column("share", sa.BigInteger, nullable=False, server_default="0")
    )
    op.create_check_constraint(
        op.f("ck_refund_items_share"), "refund_items", "share BETWEEN 0 AND 1000000000000"
    )
    protect(NOW)
    op.execute("UPDATE least_code SET revision = '0013'")


def downgrade() -> None:
    op.execute("UPDATE least_code SET revision = '0010'")
    op.execute("DELETE FROM sagas WHERE kind = 'release'")
    # What was promised before is a refund that cannot be refused.
    op.execute("UPDATE sagas SET version = 1 WHERE kind = 'return'")
    protect(BEFORE)
    op.drop_column("refund_items", "share")
    op.drop_column("order_items", "commission_bps")


def protect(columns: tuple[str, ...]) -> None:
    op.execute("DROP TRIGGER order_items_stay ON order_items")
    old, new = (", ".join(f"{row}.{name}" for name in columns) for row in ("OLD", "NEW"))
    op.execute(STAYS.format(old=old, new=new))
