"""Profiles and brands, as they were before names and companies were kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kernel.db.tables import SAGA_NOW

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
LOSES = {
    "brands": "SELECT count(*) FROM brands",
    "profiles": "SELECT count(*) FROM profiles",
    "idempotency": "SELECT count(*) FROM idempotency",
    "saga_barriers": "SELECT count(*) FROM saga_barriers",
}


def upgrade() -> None:
    op.execute(SAGA_NOW)
    _kernel()
    op.create_table(
        "profiles",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("saga_id", sa.Uuid),
        sa.Column("display_name", sa.Text),
        sa.Column("phone_number", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("bio", sa.Text),
        sa.Column("avatar_url", sa.Text),
        sa.Column("course", sa.Text),
        sa.Column("status", sa.Text, nullable=False, server_default="pending"),
        sa.Column("status_version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"),
        _time("create_time"),
        _time("update_time"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
        sa.UniqueConstraint("user_id", name=op.f("uq_profiles_user_id")),
        sa.UniqueConstraint("saga_id", name=op.f("uq_profiles_saga_id")),
        sa.UniqueConstraint("phone_number", name=op.f("uq_profiles_phone_number")),
        sa.CheckConstraint(
            "status IN ('pending', 'active', 'suspended')", name=op.f("ck_profiles_status")
        ),
    )
    op.create_index(op.f("ix_profiles_create_time_id"), "profiles", ["create_time", "id"])
    op.create_index(
        op.f("ix_profiles_status_create_time_id"), "profiles", ["status", "create_time", "id"]
    )
    op.create_table(
        "brands",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("profile_id", sa.Uuid),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("website_url", sa.Text),
        sa.Column("logo_url", sa.Text),
        sa.Column("brand_type", sa.Text),
        _time("create_time"),
        _time("update_time"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_brands")),
        sa.UniqueConstraint("profile_id", name=op.f("uq_brands_profile_id")),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["profiles.id"],
            name=op.f("fk_brands_profile_id"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "brand_type IN ('agency', 'direct', 'platform')", name=op.f("ck_brands_brand_type")
        ),
    )


def downgrade() -> None:
    for table in ("brands", "profiles", "idempotency", "saga_barriers"):
        op.drop_table(table)
    op.execute("DROP FUNCTION saga_now()")


def _kernel() -> None:
    op.create_table(
        "saga_barriers",
        sa.Column("saga_id", sa.Uuid, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reply", JSONB),
        sa.Column("not_after", sa.DateTime(timezone=True)),
        _time("create_time"),
        sa.PrimaryKeyConstraint("saga_id", "branch", name=op.f("pk_saga_barriers")),
        sa.CheckConstraint(
            "state IN ('DONE', 'REJECTED', 'CANCELLED')", name=op.f("ck_saga_barriers_state")
        ),
    )
    op.create_index(op.f("ix_saga_barriers_create_time"), "saga_barriers", ["create_time"])
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("key_hmac", sa.LargeBinary, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("saga_id", sa.Uuid),
        sa.Column("reply", JSONB),
        sa.Column("error", JSONB),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "method", "key_hmac", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_saga_id"), "idempotency", ["saga_id"])
    op.create_index(op.f("ix_idempotency_expire_time"), "idempotency", ["expire_time"])


def _time(name: str) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.func.clock_timestamp(),
    )
