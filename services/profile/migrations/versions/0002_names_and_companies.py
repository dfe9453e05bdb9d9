"""The names of people, and what is asked of companies. Rows that are there keep all they have."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
LOSES = {
    "profiles": "SELECT count(*) FROM profiles WHERE num_nonnulls(first_name, last_name) > 0",
    "brands": "SELECT count(*) FROM brands WHERE num_nonnulls(company_size, user_role) > 0",
}


def upgrade() -> None:
    op.add_column("profiles", sa.Column("first_name", sa.Text))
    op.add_column("profiles", sa.Column("last_name", sa.Text))
    op.add_column("brands", sa.Column("company_size", sa.Text))
    op.add_column("brands", sa.Column("user_role", sa.Text))
    op.create_check_constraint(
        op.f("ck_brands_company_size"),
        "brands",
        "company_size IN ('1-10', '11-50', '51-200', '201-1000', '1000+')",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_brands_company_size"), "brands")
    op.drop_column("brands", "user_role")
    op.drop_column("brands", "company_size")
    op.drop_column("profiles", "last_name")
    op.drop_column("profiles", "first_name")
