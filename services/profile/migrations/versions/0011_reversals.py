"""Top-ups can be reversed."""

from alembic import op

revision = "0011"
down_revision = "0010"
LOSES = {
    "transfers": "SELECT count(*) FROM transfers WHERE kind = 'reversal'",
}

KINDS = "'top_up', 'debit', 'refund', 'void', 'forfeit', 'sale', 'release', 'sale_refund'"
WITH_ORIGINAL = "'refund', 'void', 'sale', 'release', 'sale_refund'"
# What has moved the balance of a wallet stays, under a kind that was known before.
FORGET_REVERSALS = """
ALTER TABLE transfers DISABLE TRIGGER transfers_stay;
UPDATE transfers SET kind = 'forfeit', original_id = NULL WHERE kind = 'reversal';
ALTER TABLE transfers ENABLE TRIGGER transfers_stay
"""


def upgrade() -> None:
    replace(f"{KINDS}, 'reversal'", f"{WITH_ORIGINAL}, 'reversal'")


def downgrade() -> None:
    op.execute(FORGET_REVERSALS)
    replace(KINDS, WITH_ORIGINAL)


def replace(kinds: str, with_original: str) -> None:
    rules = {
        "kind": f"kind IN ({kinds})",
        "original_id": f"(kind IN ({with_original})) = (original_id IS NOT NULL)",
    }
    for name, rule in rules.items():
        op.drop_constraint(f"ck_transfers_{name}", "transfers")
        op.create_check_constraint(op.f(f"ck_transfers_{name}"), "transfers", rule)
