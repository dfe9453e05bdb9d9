"""Events: what has happened, for other services. They are kept for days."""

import sqlalchemy as sa
from alembic import op

from services.kernel.db.tables import EVENT_HEAD_ROW

revision = "0015"
down_revision = "0014"
LOSES = {
    "events": "SELECT count(*) FROM events",
    "event_head": "SELECT count(*) FROM event_head WHERE sequence > 0",
}

NOW = sa.text("clock_timestamp()")
SEQUENCED = sa.text("sequence IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("place", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("sequence", sa.BigInteger),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("saga_id", sa.Uuid),
        sa.Column("trace_id", sa.Text),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    waiting = sa.text("sequence IS NULL")
    op.create_index("ix_events_waiting", "events", ["place"], postgresql_where=waiting)
    op.create_index(
        "ix_events_sequence", "events", ["sequence"], unique=True, postgresql_where=SEQUENCED
    )
    op.create_index(
        "ix_events_subject", "events", ["subject", "sequence"], postgresql_where=SEQUENCED
    )
    op.create_table(
        "event_head",
        sa.Column("single", sa.Boolean, nullable=False, server_default="true"),
        sa.Column("sequence", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("single", name="pk_event_head"),
        sa.CheckConstraint("single", name="single"),
    )
    op.execute(EVENT_HEAD_ROW)


def downgrade() -> None:
    op.drop_table("event_head")
    op.drop_table("events")
