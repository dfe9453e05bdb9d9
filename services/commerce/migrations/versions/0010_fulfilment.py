"""Orders get a number and an address; their lines are shipped, cancelled in part, and come back.

Each cancellation of before becomes a refund of everything. Its goods go back to the stock when
it begins, so those of cancellations in flight go back now. Processes of before would cancel all
of an order that was cancelled in part, so they are out: see the least code. Writes to orders
wait while the tables are changed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
LOSES = {
    "orders": "SELECT count(*) FROM orders WHERE state = 'FULFILLED' OR shipping_address <> ''",
    "order_items": """SELECT count(*) FROM order_items WHERE returned_quantity > 0
      OR cancelled_quantity NOT IN (0, quantity)""",
    "refund_items": "SELECT count(*) FROM refund_items",
    "refunds": "SELECT count(*) FROM refunds",
    "shipments": "SELECT count(*) FROM shipments",
}

ORDER_NUMBER = """
CREATE FUNCTION order_number() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT string_agg(
           substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + (get_byte(random, place) & 31), 1), '')
    FROM uuid_send(gen_random_uuid()) AS random, unnest('{0,1,2,3,4,5,10,11}'::int[]) AS place
$$
"""
NUMBERS_ANEW = """
DO $$
BEGIN
  LOOP
    UPDATE orders SET number = order_number() WHERE id IN (
      SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY number ORDER BY id) AS place
                        FROM orders) AS numbered WHERE place > 1);
    EXIT WHEN NOT FOUND;
  END LOOP;
END
$$
"""
STATES = "'PENDING', 'PAID', 'FAILED', 'CANCELLING', 'CANCELLED'"
REFUND_CANCELLATIONS = """
INSERT INTO refunds (id, order_id, kind, state, amount, is_restocked, reason, create_time)
SELECT refund_id, id, 'CANCEL', CASE state WHEN 'CANCELLED' THEN 'DONE' ELSE 'OPEN' END, total,
       true, '', update_time
  FROM orders WHERE refund_id IS NOT NULL;
INSERT INTO refund_items (refund_id, product_id, quantity)
SELECT refund_id, product_id, quantity FROM order_items
  JOIN orders ON orders.id = order_items.order_id WHERE refund_id IS NOT NULL;
UPDATE order_items SET cancelled_quantity = quantity
  FROM orders WHERE orders.id = order_items.order_id AND refund_id IS NOT NULL;
UPDATE products SET stock = least(stock::bigint + held.quantity, 2147483647),
                    taken = taken - held.quantity
  FROM (SELECT product_id, sum(quantity) AS quantity FROM order_items
          JOIN orders ON orders.id = order_items.order_id
         WHERE orders.state = 'CANCELLING' GROUP BY product_id) AS held
 WHERE held.product_id = products.id;
UPDATE sagas SET version = 2, lease_epoch = lease_epoch + 1
 WHERE kind = 'cancellation' AND state = 'RUNNING'
"""
HOLD_CANCELLING = """
UPDATE products SET stock = greatest(stock - held.quantity, 0), taken = taken + held.quantity
  FROM (SELECT product_id, sum(quantity) AS quantity FROM order_items
          JOIN orders ON orders.id = order_items.order_id
         WHERE orders.state = 'CANCELLING' GROUP BY product_id) AS held
 WHERE held.product_id = products.id;
UPDATE sagas SET version = 1 WHERE kind IN ('cancellation', 'checkout');
UPDATE orders SET state = 'PAID' WHERE state = 'FULFILLED'
"""


def upgrade() -> None:
    alter_orders()
    create_shipments_and_refunds()
    alter_items()
    op.execute(REFUND_CANCELLATIONS)
    op.create_foreign_key("fk_orders_refund_id", "orders", "refunds", ["refund_id"], ["id"])
    op.create_index(
        "ix_idempotency_reply_user_id",
        "idempotency",
        [sa.text("(reply ->> 'user_id')")],
        postgresql_where=sa.text("reply ->> 'user_id' IS NOT NULL"),
    )
    op.execute("UPDATE least_code SET revision = '0010'")


def alter_orders() -> None:
    op.execute(ORDER_NUMBER)
    op.add_column(
        "orders",
        sa.Column("number", sa.Text, nullable=False, server_default=sa.text("order_number()")),
    )
    op.add_column(
        "orders", sa.Column("shipping_address", sa.Text, nullable=False, server_default="")
    )
    op.execute(NUMBERS_ANEW)
    op.create_index("uq_orders_number", "orders", ["number"], unique=True)
    op.drop_constraint("ck_orders_state", "orders")
    op.create_check_constraint(
        op.f("ck_orders_state"), "orders", f"state IN ({STATES}, 'FULFILLED')"
    )


def create_shipments_and_refunds() -> None:
    op.create_table(
        "shipments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("tracking", sa.Text, nullable=False),
        moment(),
        sa.PrimaryKeyConstraint("id", name="pk_shipments"),
        of_order("shipments"),
    )
    op.create_index("ix_shipments_order_id", "shipments", ["order_id", "create_time", "id"])
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("is_restocked", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        moment(),
        sa.PrimaryKeyConstraint("id", name="pk_refunds"),
        of_order("refunds"),
        sa.CheckConstraint("kind IN ('CANCEL', 'RETURN')", name=op.f("ck_refunds_kind")),
        sa.CheckConstraint("state IN ('OPEN', 'DONE')", name=op.f("ck_refunds_state")),
        sa.CheckConstraint("amount BETWEEN 0 AND 1000000000000", name=op.f("ck_refunds_amount")),
    )
    op.create_index("ix_refunds_order_id", "refunds", ["order_id", "create_time", "id"])
    op.create_index(
        "uq_refunds_open",
        "refunds",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("state = 'OPEN'"),
    )
    op.create_table(
        "refund_items",
        sa.Column("refund_id", sa.Uuid, nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("refund_id", "product_id", name="pk_refund_items"),
        sa.ForeignKeyConstraint(
            ["refund_id"], ["refunds.id"], name="fk_refund_items_refund_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_refund_items_product_id"),
        sa.CheckConstraint("quantity BETWEEN 1 AND 9999", name=op.f("ck_refund_items_quantity")),
    )


def alter_items() -> None:
    op.add_column("order_items", sa.Column("seller_id", sa.Uuid))
    op.add_column("order_items", sa.Column("shipment_id", sa.Uuid))
    for name in ("cancelled", "returned", "restocked"):
        column = sa.Column(f"{name}_quantity", sa.Integer, nullable=False, server_default="0")
        op.add_column("order_items", column)
    op.create_foreign_key(
        "fk_order_items_shipment_id", "order_items", "shipments", ["shipment_id"], ["id"]
    )
    rules = {
        "refunded": "cancelled_quantity >= 0 AND returned_quantity >= 0"
        " AND cancelled_quantity + returned_quantity <= quantity",
        "restocked": "restocked_quantity BETWEEN 0 AND returned_quantity",
        "returned": "shipment_id IS NOT NULL OR returned_quantity = 0",
    }
    for name, rule in rules.items():
        op.create_check_constraint(op.f(f"ck_order_items_{name}"), "order_items", rule)
    op.create_index(
        "ix_order_items_seller",
        "order_items",
        ["seller_id", "order_id"],
        postgresql_where=sa.text("seller_id IS NOT NULL"),
    )


def moment() -> sa.Column[object]:
    return sa.Column(
        "create_time",
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.text("clock_timestamp()"),
    )


def of_order(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["order_id"], ["orders.id"], name=f"fk_{table}_order_id", ondelete="CASCADE"
    )


def downgrade() -> None:
    op.execute("UPDATE least_code SET revision = '0001'")
    op.drop_index("ix_idempotency_reply_user_id")
    op.drop_constraint("fk_orders_refund_id", "orders")
    op.execute(HOLD_CANCELLING)
    for name in ("seller_id", "shipment_id"):
        op.drop_column("order_items", name)
    for name in ("restocked", "returned", "cancelled"):
        op.drop_column("order_items", f"{name}_quantity")
    for table in ("refund_items", "refunds", "shipments"):
        op.drop_table(table)
    op.drop_constraint("ck_orders_state", "orders")
    op.create_check_constraint(op.f("ck_orders_state"), "orders", f"state IN ({STATES})")
    op.drop_column("orders", "shipping_address")
    op.drop_column("orders", "number")
    op.execute("DROP FUNCTION order_number()")
