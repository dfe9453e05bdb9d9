"""Forgotten users get a table of their own; those that were filed as sagas are copied."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
LOSES = {
    "forgotten_users": "SELECT count(*) FROM forgotten_users",
}


def upgrade() -> None:
    op.create_table(
        "forgotten_users",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column(
            "create_time",
            sa.DateTime(timezone=True),
            server_default=sa.func.clock_timestamp(),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_forgotten_users")),
    )
    op.create_index("ix_forgotten_users_create_time", "forgotten_users", ["create_time"])
    op.execute(
        "INSERT INTO forgotten_users (user_id, create_time)"
        " SELECT saga_id, create_time FROM saga_barriers WHERE branch = 'ForgetProfile'"
    )


def downgrade() -> None:
    op.drop_table("forgotten_users")
