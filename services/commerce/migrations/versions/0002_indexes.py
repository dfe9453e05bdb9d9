"""Indexes for the clean-up and for lists of sagas. Writes wait while one is built."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    index_sagas()
    op.create_index(
        "ix_saga_barriers_end", "saga_barriers", [sa.text("coalesce(not_after, create_time)")]
    )


def index_sagas() -> None:
    op.create_index(
        "ix_sagas_ended",
        "sagas",
        ["update_time"],
        postgresql_where=sa.text("state IN ('DONE', 'ABORTED')"),
    )
    op.create_index("ix_sagas_kind", "sagas", ["kind", "create_time", "id"])
    op.create_index("ix_sagas_state", "sagas", ["state", "create_time", "id"])
    op.create_index(
        "ix_sagas_parked",
        "sagas",
        ["create_time", "id"],
        postgresql_where=sa.text("parked_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_saga_barriers_end")
    for name in ("parked", "state", "kind", "ended"):
        op.drop_index(f"ix_sagas_{name}")
