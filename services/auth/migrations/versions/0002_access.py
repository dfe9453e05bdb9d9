"""Sessions, codes, mail to be sent, limits and the audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
LOSES = {
    "audit_log": "SELECT count(*) FROM audit_log",
    "outbox": "SELECT count(*) FROM outbox",
    "code_limits": "SELECT count(*) FROM code_limits",
    "codes": "SELECT count(*) FROM codes",
    "login_failures": "SELECT count(*) FROM login_failures",
    "sessions": "SELECT count(*) FROM sessions",
}

TABLES = ("audit_log", "outbox", "code_limits", "codes", "login_failures", "sessions")


def moment(name: str, *, nullable: bool = False, default: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=sa.text("clock_timestamp()") if default else None,
    )


def upgrade() -> None:
    create_sessions()
    create_codes()
    create_limits()
    create_outbox()
    create_audit_log()


def create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("refresh_hash", sa.LargeBinary, nullable=False),
        moment("rotate_time", default=True),
        moment("create_time", default=True),
        moment("expire_time"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_expire_time", "sessions", ["expire_time"])


def create_codes() -> None:
    op.create_table(
        "codes",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("code_hmac", sa.LargeBinary),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("payload", JSONB),
        sa.Column("saga_id", sa.Uuid),
        moment("spend_time", nullable=True),
        moment("create_time", default=True),
        moment("expire_time"),
        sa.PrimaryKeyConstraint("id", name="pk_codes"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_codes_user_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "purpose IN ('signup', 'verification', 'reset', 'email_change')",
            name="purpose",
        ),
    )
    op.create_index("ix_codes_email_purpose", "codes", ["email", "purpose"])
    op.create_index("ix_codes_user_id", "codes", ["user_id"])
    op.create_index("ix_codes_saga_id", "codes", ["saga_id"])
    op.create_index("ix_codes_expire_time", "codes", ["expire_time"])


def create_limits() -> None:
    op.create_table(
        "login_failures",
        sa.Column("account_hmac", sa.LargeBinary, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        moment("wait_until"),
        moment("update_time", default=True),
        sa.PrimaryKeyConstraint("account_hmac", name="pk_login_failures"),
    )
    op.create_index("ix_login_failures_update_time", "login_failures", ["update_time"])
    op.create_table(
        "code_limits",
        sa.Column("key_hmac", sa.LargeBinary, nullable=False),
        sa.Column("send_times", sa.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("failure_times", sa.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        moment("update_time", default=True),
        sa.PrimaryKeyConstraint("key_hmac", name="pk_code_limits"),
    )
    op.create_index("ix_code_limits_update_time", "code_limits", ["update_time"])


def create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text),
        moment("next_try_time", default=True),
        moment("create_time", default=True),
        moment("expire_time"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_next_try_time", "outbox", ["next_try_time"])


def create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("account", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("detail", JSONB, nullable=False),
        moment("create_time", default=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_create_time", "audit_log", ["create_time", "id"])
    op.create_index("ix_audit_log_user_id", "audit_log", ["user_id"])


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
