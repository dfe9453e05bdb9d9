"""Each filter of the list of users has an index. Writes to users wait while they are built."""

from alembic import op

revision = "0014"
down_revision = "0013"

ORDER = ["create_time", "id"]


def upgrade() -> None:
    op.create_index("ix_users_role", "users", ["role_id", "status", *ORDER])
    op.create_index("ix_users_status", "users", ["status", *ORDER])
    op.create_index(
        "ix_users_email_prefix", "users", ["email"], postgresql_ops={"email": "text_pattern_ops"}
    )
    op.drop_index("ix_users_role_id")  # the one of roles above serves in its place


def downgrade() -> None:
    op.create_index("ix_users_role_id", "users", ["role_id"])
    for name in ("email_prefix", "status", "role"):
        op.drop_index(f"ix_users_{name}")
