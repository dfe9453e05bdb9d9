"""The queues of sagas that are due: those that failed wait beside the others.

Writes wait while the index is built.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

QUEUE = "(CASE WHEN parked_at IS NOT NULL THEN 2 WHEN attempts > 1 THEN 1 ELSE 0 END)"


def upgrade() -> None:
    op.create_index(
        "ix_sagas_queue",
        "sagas",
        [sa.text(QUEUE), "next_run_at", "id"],
        postgresql_where=sa.text("state IN ('RUNNING', 'COMPENSATING')"),
    )


def downgrade() -> None:
    op.drop_index("ix_sagas_queue")
