"""Profile's tables."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    literal_column,
    text,
)

from services.common import forgetting, ledger
from services.kernel.db import tables
from services.kernel.db.tables import new_metadata, timestamp

STATUSES = ("pending", "active", "suspended")
INITIAL_STATUSES = ("pending", "active")
BRAND_TYPES = ("agency", "direct", "platform")

METADATA = new_metadata()
SAGA_BARRIERS = tables.SAGA_BARRIERS.to_metadata(METADATA)
IDEMPOTENCY = tables.IDEMPOTENCY.to_metadata(METADATA)
LEAST_CODE = tables.LEAST_CODE.to_metadata(METADATA)
AUDIT_LOG = tables.audit_log(METADATA)
EVENTS = tables.events(METADATA)
# The user whom a stored reply is about: an administrator's request has a scope of its own.
REPLY_USER_ID = literal_column("reply ->> 'user_id'", Text)
Index(
    "ix_idempotency_reply_user_id",
    IDEMPOTENCY.c.reply["user_id"].astext,
    postgresql_where=REPLY_USER_ID.is_not(None),
)
LEDGER = ledger.LEDGER.to_metadata(METADATA)
# Tombstones: a late registration of these users is refused.
FORGOTTEN_USERS = forgetting.FORGOTTEN_USERS.to_metadata(METADATA)

PROFILES = Table(
    "profiles",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("saga_id", Uuid),
    Column("display_name", Text),
    Column("phone_number", Text),
    Column("address", Text),
    Column("bio", Text),
    Column("avatar_url", Text),
    Column("course", Text),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("status_version", BigInteger, nullable=False, server_default="0"),
    Column("revision", BigInteger, nullable=False, server_default="1"),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    Column("first_name", Text),
    Column("last_name", Text),
    UniqueConstraint("user_id"),
    UniqueConstraint("saga_id"),
    UniqueConstraint("phone_number"),
    CheckConstraint("status IN ('pending', 'active', 'suspended')", name="status"),
    Index(None, "create_time", "id"),
    Index(None, "status", "create_time", "id"),
)

BRANDS = Table(
    "brands",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("profile_id", Uuid, ForeignKey(PROFILES.c.id, ondelete="CASCADE")),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("website_url", Text),
    Column("logo_url", Text),
    Column("brand_type", Text),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    Column("company_size", Text),
    Column("user_role", Text),
    UniqueConstraint("profile_id"),
    CheckConstraint("brand_type IN ('agency', 'direct', 'platform')", name="brand_type"),
    CheckConstraint(
        "company_size IN ('1-10', '11-50', '51-200', '201-1000', '1000+')", name="company_size"
    ),
)

# Accounts and transfers have TigerBeetle's shape. A wallet is the account of a user;
# a closed wallet has no user. What a seller may not spend yet is in an account of its own.
# System accounts store no balance: every checkout would wait for that one row.
ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("user_id", Uuid),
    Column("balance", BigInteger),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    Column("seller_id", Uuid),
    UniqueConstraint("user_id"),
    UniqueConstraint("seller_id"),
    CheckConstraint(
        "kind IN ('wallet', 'pending', 'treasury', 'sales', 'suspense', 'forfeited')", name="kind"
    ),
    CheckConstraint("balance >= 0", name="balance"),
    CheckConstraint(
        "(kind IN ('wallet', 'pending')) = (balance IS NOT NULL)", name="stored_balance"
    ),
    CheckConstraint("kind = 'wallet' OR user_id IS NULL", name="owner"),
    CheckConstraint("kind = 'pending' OR seller_id IS NULL", name="seller"),
    Index(
        "uq_accounts_system_kind",
        "kind",
        unique=True,
        postgresql_where=text("kind NOT IN ('wallet', 'pending')"),
    ),
)

TREASURY = UUID("00000000-0000-8000-8000-000000000001")
SALES = UUID("00000000-0000-8000-8000-000000000002")
SUSPENSE = UUID("00000000-0000-8000-8000-000000000003")
FORFEITED = UUID("00000000-0000-8000-8000-000000000004")

IS_TOMBSTONE = literal_column("state = 'voided'", Boolean)

# `actor` is who asked for it: `user:` or `service:`, and an id or a name. The balances are what
# the accounts held after it; absent where no money moved, and for system accounts.
TRANSFERS = Table(
    "transfers",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("debit_account_id", Uuid, ForeignKey(ACCOUNTS.c.id)),
    Column("credit_account_id", Uuid, ForeignKey(ACCOUNTS.c.id)),
    Column("amount", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    Column("original_id", Uuid, ForeignKey("transfers.id")),
    Column("refusal_reason", Text),
    Column("fingerprint", Text, nullable=False),
    timestamp("create_time", default=True),
    Column("actor", Text, nullable=False, server_default=""),
    Column("debit_balance", BigInteger),
    Column("credit_balance", BigInteger),
    CheckConstraint(
        "kind IN ('top_up', 'debit', 'refund', 'void', 'forfeit', 'sale', 'release',"
        " 'sale_refund', 'reversal')",
        name="kind",
    ),
    CheckConstraint("state IN ('posted', 'refused', 'voided')", name="state"),
    CheckConstraint(
        "amount > 0 OR amount = 0 AND (kind = 'void' OR state = 'voided')", name="amount"
    ),
    CheckConstraint(
        "state <> 'posted' OR coalesce(debit_account_id <> credit_account_id, false)",
        name="accounts",
    ),
    CheckConstraint("(state = 'refused') = (refusal_reason IS NOT NULL)", name="refusal_reason"),
    CheckConstraint(
        "(kind IN ('refund', 'void', 'sale', 'release', 'sale_refund', 'reversal'))"
        " = (original_id IS NOT NULL)",
        name="original_id",
    ),
    Index(None, "debit_account_id", "create_time", "id"),
    Index(None, "credit_account_id", "create_time", "id"),
    Index(None, "original_id", postgresql_where=text("original_id IS NOT NULL")),
    Index("uq_transfers_void", "original_id", unique=True, postgresql_where=text("kind = 'void'")),
    Index("ix_transfers_tombstones", "create_time", postgresql_where=IS_TOMBSTONE),
)

# The cleaner removes tombstones (state voided): they moved no money.
TRANSFERS_STAY = """
CREATE FUNCTION transfers_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'transfers are never changed or removed' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER transfers_stay BEFORE UPDATE OR DELETE ON transfers
  FOR EACH ROW WHEN (OLD.state <> 'voided') EXECUTE FUNCTION transfers_stay()
"""
event.listen(TRANSFERS, "after_create", tables.ddl(TRANSFERS_STAY))
