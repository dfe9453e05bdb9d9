"""API keys that were made in a session with a second factor.

Keys of before, and those that old processes make, count as made without one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
LOSES = {
    "api_keys": "SELECT count(*) FROM api_keys WHERE has_second_factor",
}


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column("has_second_factor", sa.Boolean, nullable=False, server_default="false"),
    )


def downgrade() -> None:
    op.drop_column("api_keys", "has_second_factor")
