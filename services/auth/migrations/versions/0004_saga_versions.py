"""Sagas get a version: old processes write and know the first one only."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
LOSES = {
    "sagas": "SELECT count(*) FROM sagas WHERE version <> 1",
}


def upgrade() -> None:
    op.add_column(
        "sagas", sa.Column("version", sa.Integer, nullable=False, server_default=sa.text("1"))
    )


def downgrade() -> None:
    op.drop_column("sagas", "version")
