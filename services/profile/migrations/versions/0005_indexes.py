"""Indexes that choose what the clean-up and a forgetting remove. Writes wait while one is built."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_saga_barriers_end", "saga_barriers", [sa.text("coalesce(not_after, create_time)")]
    )
    op.create_index(
        "ix_transfers_tombstones",
        "transfers",
        ["create_time"],
        postgresql_where=sa.text("state = 'voided'"),
    )
    op.create_index(
        "ix_idempotency_reply_user_id",
        "idempotency",
        [sa.text("(reply ->> 'user_id')")],
        postgresql_where=sa.text("reply ->> 'user_id' IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_idempotency_reply_user_id")
    op.drop_index("ix_transfers_tombstones")
    op.drop_index("ix_saga_barriers_end")
