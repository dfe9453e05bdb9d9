"""Tell what a user would give up with the account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database
from services.profile.store import wallets


@dataclass(frozen=True, slots=True)
class GetHoldings:
    """Get what a wallet holds."""

    database: Database

    async def __call__(self, *, user_id: UUID) -> tuple[int, int]:
        """Return the balance and what is pending, in minor units; nothing without a wallet."""
        wallet = await wallets.get(self.database, user_id)
        return (0, 0) if wallet is None else (wallet.balance, wallet.pending)
