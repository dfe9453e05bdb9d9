"""Take money out of a wallet for a purchase."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DatabaseUnavailable
from services.kernel.events.writer import tell
from services.profile.domain import shares
from services.profile.domain.repeats import repeated
from services.profile.model import NewTransfer, Transfer
from services.profile.store import ledger, transfers
from services.profile.store.ledger import IdTaken


@dataclass(frozen=True, slots=True)
class DebitWallet:
    """Debit a wallet; each id has one outcome, posted or refused."""

    database: Database

    async def __call__(self, *, new: NewTransfer, not_after: datetime) -> Transfer:
        """Debit a wallet and give sellers their shares, or refuse the debit for ever.

        Raises:
            SagaCancelled: The id was voided, or the debit comes too late.
            InvalidField: The id was used for another transfer.
        """

        async def debit(tx: Transaction) -> Transfer:
            # Without shares one account is locked, by the debit itself.
            accounts = await shares.lock_for_sale(tx, new) if new.shares else ()
            posted = await ledger.debit(tx, new, not_after=not_after)
            if posted is None:
                return await ledger.refuse(tx, new, not_after=not_after)
            facts = [ledger.fact_of(new, wallet_id=posted.wallet_id)]
            if new.shares:
                facts += await shares.sell(tx, new, accounts)
            await tell(tx, *facts)
            return posted

        try:
            return await self.database.transact("DebitWallet", debit)
        except IdTaken:
            return await self._again(new)

    async def _again(self, new: NewTransfer) -> Transfer:
        found = await transfers.find(self.database, new.id)
        if found is None:  # the id was a tombstone, which the cleaner has removed
            raise DatabaseUnavailable
        return repeated(found, new)
