"""Invitations: flows without an account, and the index by which they are listed.

Writes to `codes` wait while the index is built.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
LOSES = {"codes": "SELECT count(*) FROM codes WHERE purpose = 'invitation'"}

OLD_PURPOSES = "'signup', 'verification', 'reset', 'email_change', 'mfa'"


def upgrade() -> None:
    allow(f"{OLD_PURPOSES}, 'invitation'")
    op.create_index(
        "ix_codes_invitations",
        "codes",
        ["create_time", "id"],
        postgresql_where=sa.text("purpose = 'invitation'"),
    )


def allow(purposes: str) -> None:
    op.drop_constraint(op.f("ck_codes_purpose"), "codes")
    op.create_check_constraint(op.f("ck_codes_purpose"), "codes", f"purpose IN ({purposes})")


def downgrade() -> None:
    op.drop_index("ix_codes_invitations", "codes")
    op.execute("DELETE FROM codes WHERE purpose = 'invitation'")
    allow(OLD_PURPOSES)
