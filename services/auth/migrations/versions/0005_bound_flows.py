"""Flows are bound to a credential and a session, so that they end with these.

Old processes write flows for credentials of the first version, and raise no version.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
LOSES = {
    "users": "SELECT count(*) FROM users WHERE credential_version <> 0",
    "codes": "SELECT count(*) FROM codes WHERE credential_version <> 0 OR session_id IS NOT NULL",
}


def upgrade() -> None:
    for table in ("users", "codes"):
        op.add_column(
            table,
            sa.Column("credential_version", sa.BigInteger, nullable=False, server_default="0"),
        )
    op.add_column("codes", sa.Column("session_id", sa.Uuid))
    op.create_foreign_key(
        "fk_codes_session_id",
        "codes",
        "sessions",
        ["session_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index("ix_codes_session_id", "codes", ["session_id"])


def downgrade() -> None:
    op.drop_column("codes", "session_id")
    for table in ("codes", "users"):
        op.drop_column(table, "credential_version")
