"""What code must know at least to work with these tables. All code until now may."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
LOSES = {
    "least_code": "SELECT count(*) FROM least_code WHERE revision > '0005'",
}


def upgrade() -> None:
    op.create_table(
        "least_code",
        sa.Column("revision", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_least_code"),
    )
    op.execute("INSERT INTO least_code (revision) VALUES ('0001')")


def downgrade() -> None:
    op.drop_table("least_code")
