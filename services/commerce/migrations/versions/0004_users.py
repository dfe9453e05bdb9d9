"""Users get a row to lock. Users with a cart get one now, all others with their next write."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
LOSES = {
    "users": "SELECT count(*) FROM users",
}


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
    )
    op.execute("INSERT INTO users (user_id) SELECT user_id FROM carts")


def downgrade() -> None:
    op.drop_table("users")
