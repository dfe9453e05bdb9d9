"""Wallets: accounts and transfers. Every profile that is there gets an empty wallet."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
LOSES = {
    "transfers": "SELECT count(*) FROM transfers",
    "accounts": "SELECT count(*) FROM accounts WHERE kind = 'wallet'",
}

TRANSFERS_STAY = """
CREATE FUNCTION transfers_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'transfers are never changed or removed' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER transfers_stay BEFORE UPDATE OR DELETE ON transfers
  FOR EACH ROW WHEN (OLD.state <> 'voided') EXECUTE FUNCTION transfers_stay()
"""


def upgrade() -> None:
    _accounts()
    _transfers()
    op.execute(
        "INSERT INTO accounts (id, kind) VALUES"
        " ('00000000-0000-8000-8000-000000000001', 'treasury'),"
        " ('00000000-0000-8000-8000-000000000002', 'sales'),"
        " ('00000000-0000-8000-8000-000000000003', 'suspense'),"
        " ('00000000-0000-8000-8000-000000000004', 'forfeited')"
    )
    op.execute(
        "INSERT INTO accounts (id, kind, user_id, balance) "
        "SELECT uuidv7(), 'wallet', user_id, 0 FROM profiles"
    )


def downgrade() -> None:
    op.drop_table("transfers")
    op.execute("DROP FUNCTION transfers_stay()")
    op.drop_table("accounts")


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("balance", sa.BigInteger),
        _time("create_time"),
        _time("update_time"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("user_id", name=op.f("uq_accounts_user_id")),
        sa.CheckConstraint(
            "kind IN ('wallet', 'treasury', 'sales', 'suspense', 'forfeited')",
            name=op.f("ck_accounts_kind"),
        ),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_accounts_balance")),
        sa.CheckConstraint(
            "(kind = 'wallet') = (balance IS NOT NULL)", name=op.f("ck_accounts_stored_balance")
        ),
        sa.CheckConstraint("kind = 'wallet' OR user_id IS NULL", name=op.f("ck_accounts_owner")),
    )
    op.create_index(
        "uq_accounts_system_kind",
        "accounts",
        ["kind"],
        unique=True,
        postgresql_where=sa.text("kind <> 'wallet'"),
    )


def _transfers() -> None:
    op.create_table(
        "transfers",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("debit_account_id", sa.Uuid),
        sa.Column("credit_account_id", sa.Uuid),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("original_id", sa.Uuid),
        sa.Column("refusal_reason", sa.Text),
        sa.Column("fingerprint", sa.Text, nullable=False),
        _time("create_time"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        *(
            sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_transfers_{column}"))
            for column, target in (
                ("debit_account_id", "accounts.id"),
                ("credit_account_id", "accounts.id"),
                ("original_id", "transfers.id"),
            )
        ),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_transfers_{name}"))
            for name, rule in (
                ("kind", "kind IN ('top_up', 'debit', 'refund', 'void', 'forfeit')"),
                ("state", "state IN ('posted', 'refused', 'voided')"),
                ("amount", "amount > 0 OR amount = 0 AND (kind = 'void' OR state = 'voided')"),
                (
                    "accounts",
                    "state <> 'posted' OR coalesce(debit_account_id <> credit_account_id, false)",
                ),
                ("refusal_reason", "(state = 'refused') = (refusal_reason IS NOT NULL)"),
                ("original_id", "(kind IN ('refund', 'void')) = (original_id IS NOT NULL)"),
            )
        ),
    )
    for side in ("debit_account_id", "credit_account_id"):
        columns = [side, "create_time", "id"]
        op.create_index(op.f(f"ix_transfers_{'_'.join(columns)}"), "transfers", columns)
    op.create_index(
        op.f("ix_transfers_original_id"),
        "transfers",
        ["original_id"],
        postgresql_where=sa.text("original_id IS NOT NULL"),
    )
    op.create_index(
        "uq_transfers_void",
        "transfers",
        ["original_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'void'"),
    )
    op.execute(TRANSFERS_STAY)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.func.clock_timestamp(),
    )
