"""Take money out of a wallet for a purchase."""

from __future__ import annotations

from datetime import datetime

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DatabaseUnavailable
from services.profile.domain.repeats import repeated
from services.profile.model import NewTransfer, Transfer
from services.profile.store import ledger, transfers
from services.profile.store.ledger import IdTaken


class DebitWallet:
    """Debits wallets; each id has one outcome, posted or refused."""

    def __init__(self, database: Database) -> None:
        """Debit there."""
        self._database = database

    async def __call__(self, *, new: NewTransfer, not_after: datetime) -> Transfer:
        """Debit a wallet, or refuse to for ever.

        Raises:
            SagaCancelled: The id was voided, or comes too late.
            InvalidField: The id was used for something else.
        """

        async def debit(tx: Transaction) -> Transfer:
            posted = await ledger.debit(tx, new, not_after=not_after)
            return posted or await ledger.refuse(tx, new, not_after=not_after)

        try:
            return await self._database.transact("DebitWallet", debit)
        except IdTaken:
            return await self._again(new)

    async def _again(self, new: NewTransfer) -> Transfer:
        found = await transfers.find(self._database, new.id)
        if found is None:  # a tombstone that was cleaned up in between
            raise DatabaseUnavailable
        return repeated(found, new)
