"""Mails about orders: the events that were told by mail, and when a reader has begun."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
LOSES = {
    "order_mails": "SELECT count(*) FROM order_mails",
    "event_cursors": "SELECT count(*) FROM event_cursors",
}

NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.add_column(
        "event_cursors",
        sa.Column("begin_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
    )
    op.create_table(
        "order_mails",
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("event_id", name="pk_order_mails"),
    )
    op.create_index("ix_order_mails_create_time", "order_mails", ["create_time"])


def downgrade() -> None:
    op.drop_table("order_mails")
    op.drop_column("event_cursors", "begin_time")
