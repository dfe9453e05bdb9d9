"""The currency of the money that is stored; the first start writes it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
LOSES = {
    "ledger": "SELECT count(*) FROM ledger",
}


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("digits", sa.Integer, nullable=False),
        sa.Column(
            "create_time",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.PrimaryKeyConstraint("currency", name="pk_ledger"),
    )
    op.create_index("uq_ledger_one", "ledger", [sa.text("(true)")], unique=True)


def downgrade() -> None:
    op.drop_table("ledger")
