"""Sagas keep the place in a trace of the request that began them. Old processes leave it out."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
LOSES = {
    "sagas": "SELECT count(*) FROM sagas WHERE traceparent IS NOT NULL",
}


def upgrade() -> None:
    op.add_column("sagas", sa.Column("traceparent", sa.Text))


def downgrade() -> None:
    op.drop_column("sagas", "traceparent")
