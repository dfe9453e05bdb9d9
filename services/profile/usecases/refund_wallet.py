"""Give back money of a posted debit."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState
from services.kernel.events.writer import tell
from services.kernel.rpc.call import Origin
from services.profile.domain import shares
from services.profile.domain.repeats import repeated
from services.profile.errors import TransferNotFound
from services.profile.model import NewTransfer, Transfer, TransferKind, TransferState
from services.profile.store import ledger, transfers
from services.profile.store.ledger import IdTaken


@dataclass(frozen=True, slots=True)
class RefundWallet:
    """Refund a debit, never more than was taken."""

    database: Database

    async def __call__(self, *, new: NewTransfer, origin: Origin) -> Transfer:
        """Give money back to the wallet it came from, or to suspense when that is closed.

        A seller who has spent a share that was released has the refund refused for ever.

        Raises:
            TransferNotFound: There is no transfer with the original id.
            IllegalState: The original is not a posted debit, or too little of it is left.
            InvalidField: The id was used for another transfer.
        """

        async def refund(tx: Transaction) -> Transfer:
            return await _refund(tx, new, origin)

        try:
            return await self.database.transact("RefundWallet", refund)
        except IdTaken:
            # Another call was faster with the same id; the second try finds its transfer.
            return await self.database.transact("RefundWallet", refund)


async def _refund(tx: Transaction, new: NewTransfer, origin: Origin) -> Transfer:
    assert new.original_id is not None
    debit = await transfers.lock(tx, new.original_id)
    if debit is None:
        raise TransferNotFound
    new = replace(new, reference=debit.reference)
    found = await transfers.find(tx, new.id)
    if found is not None:
        return repeated(found, new)
    is_posted = debit.state is TransferState.POSTED and not debit.is_undone
    if debit.kind is not TransferKind.DEBIT or not is_posted:
        raise IllegalState("Only a posted debit can be refunded.")
    left = debit.amount - await transfers.given_back(tx, debit.id)
    if new.amount > left:
        raise IllegalState(f"Only {left} minor units of this debit are left to refund.")
    assert debit.wallet_id is not None
    if new.shares:
        accounts = await shares.lock_for_refund(tx, debit, new)
        if not shares.can_pay(debit, new, accounts):
            return await ledger.refuse_refund(tx, new, wallet_id=debit.wallet_id)
    facts = [await ledger.give_back(tx, new, wallet_id=debit.wallet_id)]
    if new.shares:
        facts += await shares.take_back(tx, debit, new, accounts)
    await tell(tx, *facts)
    refund = await transfers.find(tx, new.id)
    assert refund is not None
    await log.write(
        tx,
        "wallet_refunded",
        {"transfer": str(new.id), "original": str(debit.id), "amount": new.amount},
        user_id=refund.user_id,
        **log.by(origin),
    )
    return refund
