"""Users and roles, sagas and idempotency keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kernel.db.tables import SAGA_NOW

revision = "0001"
down_revision = None
LOSES = {
    "users": "SELECT count(*) FROM users",
    "roles": "SELECT count(*) FROM roles",
    "idempotency": "SELECT count(*) FROM idempotency",
    "sagas": "SELECT count(*) FROM sagas",
}

NOW = sa.text("clock_timestamp()")


def moment(name: str, *, nullable: bool = False, default: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=NOW if default else None,
    )


def upgrade() -> None:
    op.execute(SAGA_NOW)
    create_kernel_tables()
    op.create_table(
        "roles",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        moment("create_time", default=True),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("name", name="uq_roles_name"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("email_as_typed", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("full_name", sa.Text, nullable=False),
        sa.Column("role_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("status_version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("saga_id", sa.Uuid, nullable=False),
        moment("email_verify_time", nullable=True),
        moment("create_time", default=True),
        moment("update_time", default=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_users_role_id"),
        sa.CheckConstraint(
            "status IN ('PENDING', 'ACTIVE', 'DISABLED', 'DELETING')", name="status"
        ),
    )
    op.create_index("ix_users_create_time", "users", ["create_time", "id"])
    op.create_index("ix_users_role_id", "users", ["role_id"])


def create_kernel_tables() -> None:
    op.create_table(
        "sagas",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("result", JSONB),
        sa.Column("error", JSONB),
        sa.Column("user_id", sa.Uuid),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
        sa.Column("last_error", sa.Text),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_epoch", sa.Integer, nullable=False, server_default="1"),
        moment("next_run_at"),
        moment("deadline_at", nullable=True),
        moment("parked_at", nullable=True),
        moment("create_time", default=True),
        moment("update_time", default=True),
        sa.PrimaryKeyConstraint("id", name="pk_sagas"),
        sa.CheckConstraint("state IN ('RUNNING', 'COMPENSATING', 'DONE', 'ABORTED')", name="state"),
    )
    op.create_index(
        "ix_sagas_due",
        "sagas",
        ["next_run_at"],
        postgresql_where=sa.text("state IN ('RUNNING', 'COMPENSATING')"),
    )
    op.create_index("ix_sagas_user_id", "sagas", ["user_id"])
    op.create_index("ix_sagas_create_time", "sagas", ["create_time", "id"])
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("key_hmac", sa.LargeBinary, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("saga_id", sa.Uuid),
        sa.Column("reply", JSONB),
        sa.Column("error", JSONB),
        moment("expire_time"),
        sa.PrimaryKeyConstraint("scope", "method", "key_hmac", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_saga_id", "idempotency", ["saga_id"])
    op.create_index("ix_idempotency_expire_time", "idempotency", ["expire_time"])


def downgrade() -> None:
    for table in ("users", "roles", "idempotency", "sagas"):
        op.drop_table(table)
    op.execute("DROP FUNCTION saga_now()")
