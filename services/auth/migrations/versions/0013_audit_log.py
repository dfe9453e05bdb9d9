"""The audit log only grows, and each filter of its list has an index. Its rows stay.

Old processes only add lines, take addresses away, and remove what is a year old.
"""

from alembic import op

from services.kernel.db.tables import AUDIT_LOG_STAYS

revision = "0013"
down_revision = "0012"

FILTERS = {"event": "event", "user": "user_id", "actor": "actor"}


def upgrade() -> None:
    for name, column in FILTERS.items():
        op.create_index(f"ix_audit_log_{name}", "audit_log", [column, "create_time", "id"])
    op.drop_index("ix_audit_log_user_id")  # the one above serves in its place
    op.execute(AUDIT_LOG_STAYS)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_log_is_kept ON audit_log")
    op.execute("DROP TRIGGER audit_log_stays ON audit_log")
    op.execute("DROP FUNCTION audit_log_stays()")
    op.create_index("ix_audit_log_user_id", "audit_log", ["user_id"])
    for name in FILTERS:
        op.drop_index(f"ix_audit_log_{name}")
