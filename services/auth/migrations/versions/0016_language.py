"""The language of a user's mails. Old processes leave it alone."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
LOSES = {"users": "SELECT count(*) FROM users WHERE language IS NOT NULL"}


def upgrade() -> None:
    op.add_column("users", sa.Column("language", sa.Text))


def downgrade() -> None:
    op.drop_column("users", "language")
