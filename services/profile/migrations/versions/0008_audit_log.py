"""The audit log: who did what to whom, and from where. It only grows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kernel.db.tables import AUDIT_LOG_STAYS

revision = "0008"
down_revision = "0007"
LOSES = {
    "audit_log": "SELECT count(*) FROM audit_log",
}

NOW = sa.text("clock_timestamp()")
FILTERS = {"event": "event", "user": "user_id", "actor": "actor"}


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("account", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("detail", JSONB, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_create_time", "audit_log", ["create_time", "id"])
    for name, column in FILTERS.items():
        op.create_index(f"ix_audit_log_{name}", "audit_log", [column, "create_time", "id"])
    op.execute(AUDIT_LOG_STAYS)


def downgrade() -> None:
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION audit_log_stays()")
