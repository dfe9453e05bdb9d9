"""Webhooks: URLs of others to which events are sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0019"
down_revision = "0018"
LOSES = {
    "webhooks": "SELECT count(*) FROM webhooks",
    "webhook_deliveries": "SELECT count(*) FROM webhook_deliveries WHERE state = 'WAITING'",
    "event_cursors": "SELECT count(*) FROM event_cursors",
}

NOW = sa.text("clock_timestamp()")


def moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=None if nullable else NOW,
    )


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("types", ARRAY(sa.Text), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        moment("old_secret_until", nullable=True),
        sa.Column("disabled_reason", sa.Text),
        moment("since"),
        moment("failing_since", nullable=True),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        moment("next_round_time"),
        moment("create_time"),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    _create_deliveries()
    op.create_table(
        "event_cursors",
        sa.Column("reader", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("cursor", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("reader", "source", name="pk_event_cursors"),
    )


def _create_deliveries() -> None:
    table = "webhook_deliveries"
    op.create_table(
        table,
        sa.Column("webhook_id", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("place", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="WAITING"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.Text),
        moment("next_attempt_time"),
        moment("first_attempt_time", nullable=True),
        moment("create_time"),
        moment("end_time", nullable=True),
        sa.PrimaryKeyConstraint("webhook_id", "event_id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name="fk_webhook_deliveries_webhook_id",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("state IN ('WAITING', 'DELIVERED', 'FAILED')", name="state"),
    )
    op.create_index("ix_webhook_deliveries_place", table, ["webhook_id", "place"])
    op.create_index("ix_webhook_deliveries_state", table, ["webhook_id", "state", "place"])
    op.create_index("ix_webhook_deliveries_create_time", table, ["create_time"])
    op.create_index(
        "ix_webhook_deliveries_subject",
        table,
        ["webhook_id", "subject", "place"],
        postgresql_where=sa.text("state = 'WAITING'"),
    )


def downgrade() -> None:
    op.drop_table("event_cursors")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
