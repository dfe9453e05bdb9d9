"""Sellers get shares of debits. What is not shipped is in an account of its own.

Processes of before would leave out the shares of a debit, so they are out: see the least code.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
LOSES = {
    "accounts": "SELECT count(*) FROM accounts WHERE kind = 'pending'",
    "transfers": """SELECT count(*) FROM transfers
      WHERE kind IN ('sale', 'release', 'sale_refund')""",
}

OLD = {
    "accounts": {
        "kind": "kind IN ('wallet', 'treasury', 'sales', 'suspense', 'forfeited')",
        "stored_balance": "(kind = 'wallet') = (balance IS NOT NULL)",
    },
    "transfers": {
        "kind": "kind IN ('top_up', 'debit', 'refund', 'void', 'forfeit')",
        "original_id": "(kind IN ('refund', 'void')) = (original_id IS NOT NULL)",
    },
}
NEW = {
    "accounts": {
        "kind": "kind IN ('wallet', 'pending', 'treasury', 'sales', 'suspense', 'forfeited')",
        "stored_balance": "(kind IN ('wallet', 'pending')) = (balance IS NOT NULL)",
    },
    "transfers": {
        "kind": "kind IN ('top_up', 'debit', 'refund', 'void', 'forfeit', 'sale', 'release',"
        " 'sale_refund')",
        "original_id": "(kind IN ('refund', 'void', 'sale', 'release', 'sale_refund'))"
        " = (original_id IS NOT NULL)",
    },
}
# What has moved the balance of a wallet stays, under a kind that was known before.
FORGET_SHARES = """
ALTER TABLE transfers DISABLE TRIGGER transfers_stay;
UPDATE transfers SET kind = 'top_up', original_id = NULL,
                     debit_account_id = '00000000-0000-8000-8000-000000000002'
 WHERE kind = 'release';
UPDATE transfers SET kind = 'forfeit', original_id = NULL
 WHERE kind = 'sale_refund'
   AND debit_account_id IN (SELECT id FROM accounts WHERE kind = 'wallet');
DELETE FROM transfers
 WHERE kind IN ('sale', 'sale_refund')
    OR debit_account_id IN (SELECT id FROM accounts WHERE kind = 'pending');
ALTER TABLE transfers ENABLE TRIGGER transfers_stay;
DELETE FROM accounts WHERE kind = 'pending'
"""


def upgrade() -> None:
    op.add_column("accounts", sa.Column("seller_id", sa.Uuid))
    op.create_unique_constraint("uq_accounts_seller_id", "accounts", ["seller_id"])
    replace(NEW)
    op.create_check_constraint(
        op.f("ck_accounts_seller"), "accounts", "kind = 'pending' OR seller_id IS NULL"
    )
    index("kind NOT IN ('wallet', 'pending')")
    op.execute("UPDATE least_code SET revision = '0010'")


def downgrade() -> None:
    op.execute("UPDATE least_code SET revision = '0001'")
    op.execute(FORGET_SHARES)
    op.drop_constraint("ck_accounts_seller", "accounts")
    op.drop_constraint("uq_accounts_seller_id", "accounts")
    replace(OLD)
    index("kind <> 'wallet'")
    op.drop_column("accounts", "seller_id")


def replace(rules: dict[str, dict[str, str]]) -> None:
    for table, named in rules.items():
        for name, rule in named.items():
            op.drop_constraint(f"ck_{table}_{name}", table)
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)


def index(where: str) -> None:
    op.drop_index("uq_accounts_system_kind")
    op.create_index(
        "uq_accounts_system_kind",
        "accounts",
        ["kind"],
        unique=True,
        postgresql_where=sa.text(where),
    )
