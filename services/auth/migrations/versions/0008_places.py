"""Limits that tell an owner from a stranger: by the place, and by the session.

Old processes go on with their own counters. They write no places, and count for a whole account.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
LOSES = {
    "known_places": "SELECT count(*) FROM known_places",
    "place_failures": "SELECT count(*) FROM place_failures",
    "account_failures": "SELECT count(*) FROM account_failures",
    "sessions": "SELECT count(*) FROM sessions WHERE wrong_passwords > 0",
    "codes": "SELECT count(*) FROM codes WHERE place_hmac IS NOT NULL",
    "code_limits": ("SELECT count(*) FROM code_limits WHERE account_hmac IS NOT NULL"),
}

NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "known_places",
        sa.Column("account_hmac", sa.LargeBinary, nullable=False),
        sa.Column("place_hmac", sa.LargeBinary, nullable=False),
        sa.Column("seen_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("account_hmac", "place_hmac", name="pk_known_places"),
    )
    op.create_index("ix_known_places_seen_time", "known_places", ["seen_time"])
    op.create_table(
        "place_failures",
        sa.Column("account_hmac", sa.LargeBinary, nullable=False),
        sa.Column("place_hmac", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("wait_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("account_hmac", "place_hmac", name="pk_place_failures"),
    )
    op.create_index("ix_place_failures_update_time", "place_failures", ["update_time"])
    op.create_table(
        "account_failures",
        sa.Column("account_hmac", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("next_try_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("begin_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("account_hmac", name="pk_account_failures"),
    )
    op.create_index("ix_account_failures_begin_time", "account_failures", ["begin_time"])
    op.add_column(
        "sessions",
        sa.Column("wrong_passwords", sa.Integer, nullable=False, server_default="0"),
    )
    op.add_column("codes", sa.Column("place_hmac", sa.LargeBinary))
    op.add_column("code_limits", sa.Column("account_hmac", sa.LargeBinary))
    op.create_index("ix_code_limits_account_hmac", "code_limits", ["account_hmac"])


def downgrade() -> None:
    op.drop_column("code_limits", "account_hmac")
    op.drop_column("codes", "place_hmac")
    op.drop_column("sessions", "wrong_passwords")
    for table in ("account_failures", "place_failures", "known_places"):
        op.drop_table(table)
