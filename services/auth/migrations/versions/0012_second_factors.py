"""Second factors: seeds and recovery codes, and the flows and sessions of who has one.

Old processes know no second factor. Update them all before people enrol.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
LOSES = {
    "totps": "SELECT count(*) FROM totps",
    "recovery_codes": "SELECT count(*) FROM recovery_codes",
    "codes": "SELECT count(*) FROM codes WHERE purpose = 'mfa'",
    "sessions": "SELECT count(*) FROM sessions WHERE has_second_factor",
}

NOW = sa.text("clock_timestamp()")
OLD_PURPOSES = "'signup', 'verification', 'reset', 'email_change'"


def upgrade() -> None:
    op.create_table(
        "totps",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("confirm_time", sa.DateTime(timezone=True)),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("user_id", name="pk_totps"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_totps_user_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("code_hash", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name="pk_recovery_codes"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_recovery_codes_user_id", ondelete="CASCADE"
        ),
    )
    op.add_column(
        "sessions",
        sa.Column("has_second_factor", sa.Boolean, nullable=False, server_default="false"),
    )
    allow(f"{OLD_PURPOSES}, 'mfa'")


def allow(purposes: str) -> None:
    op.drop_constraint(op.f("ck_codes_purpose"), "codes")
    op.create_check_constraint(op.f("ck_codes_purpose"), "codes", f"purpose IN ({purposes})")


def downgrade() -> None:
    op.execute("DELETE FROM codes WHERE purpose = 'mfa'")
    allow(OLD_PURPOSES)
    op.drop_column("sessions", "has_second_factor")
    op.drop_table("recovery_codes")
    op.drop_table("totps")
