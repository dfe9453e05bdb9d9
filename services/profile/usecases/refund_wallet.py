"""Give money of a posted debit back."""

from __future__ import annotations

from dataclasses import replace

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState
from services.profile.domain.repeats import repeated
from services.profile.errors import TransferNotFound
from services.profile.model import NewTransfer, Transfer, TransferKind, TransferState
from services.profile.store import ledger, transfers
from services.profile.store.ledger import IdTaken


class RefundWallet:
    """Refunds debits, never more than was taken."""

    def __init__(self, database: Database) -> None:
        """Refund there."""
        self._database = database

    async def __call__(self, *, new: NewTransfer) -> Transfer:
        """Give money back to the wallet it came from, or to suspense when that is closed.

        Raises:
            TransferNotFound: There is no such debit.
            IllegalState: It was not posted, or less than this is left of it.
            InvalidField: The id was used for something else.
        """
        try:
            return await self._database.transact("RefundWallet", lambda tx: _refund(tx, new))
        except IdTaken:
            # Somebody else was faster with the same id: now it is there to be found.
            return await self._database.transact("RefundWallet", lambda tx: _refund(tx, new))


async def _refund(tx: Transaction, new: NewTransfer) -> Transfer:
    assert new.original_id is not None
    debit = await transfers.lock(tx, new.original_id)
    if debit is None:
        raise TransferNotFound
    new = replace(new, reference=debit.reference)
    found = await transfers.find(tx, new.id)
    if found is not None:
        return repeated(found, new)
    if debit.kind is not TransferKind.DEBIT or debit.state is not TransferState.POSTED:
        raise IllegalState("Only a posted debit can be refunded.")
    left = debit.amount - await transfers.given_back(tx, debit.id)
    if new.amount > left:
        raise IllegalState(f"Only {left} minor units of this debit are left to refund.")
    assert debit.wallet_id is not None
    await ledger.give_back(tx, new, wallet_id=debit.wallet_id)
    refund = await transfers.find(tx, new.id)
    assert refund is not None
    return refund
