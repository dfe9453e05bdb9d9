"""Take a mistaken top-up back, in whole or in part."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState
from services.kernel.events.writer import tell
from services.kernel.rpc.call import Origin
from services.profile.domain.repeats import repeated
from services.profile.errors import BalanceTooLow, TransferNotFound
from services.profile.model import NewTransfer, Transfer, TransferKind
from services.profile.store import ledger, reversals, transfers
from services.profile.store.ledger import IdTaken


@dataclass(frozen=True, slots=True)
class ReverseTransfer:
    """Reverse a top-up, never more than was put in."""

    database: Database

    async def __call__(self, *, new: NewTransfer, origin: Origin) -> Transfer:
        """Take money of a top-up back; an amount of 0 takes all that is left.

        Raises:
            TransferNotFound: The user's wallet has no such transfer.
            IllegalState: It is not a top-up, or too little of it is left.
            BalanceTooLow: The wallet no longer holds so much.
            InvalidField: The id was used for another transfer.
        """

        async def reverse(tx: Transaction) -> Transfer:
            return await _reverse(tx, new, origin)

        try:
            return await self.database.transact("ReverseTransfer", reverse)
        except IdTaken:
            # Another call was faster with the same id; the second try finds its transfer.
            return await self.database.transact("ReverseTransfer", reverse)


async def _reverse(tx: Transaction, new: NewTransfer, origin: Origin) -> Transfer:
    assert new.original_id is not None
    top_up = await transfers.lock(tx, new.original_id)
    if top_up is None or top_up.user_id != new.user_id or top_up.wallet_id is None:
        raise TransferNotFound
    found = await transfers.find(tx, new.id)
    if found is not None:
        return repeated(found, new, field="reversal_id")
    if top_up.kind is not TransferKind.TOP_UP:
        raise IllegalState("Only a top-up can be reversed.")
    left = top_up.amount - await reversals.reversed_amount(tx, top_up.id)
    amount = new.amount or left
    if not left or amount > left:
        raise IllegalState(f"Only {left} minor units of this top-up are left to reverse.")
    if not await reversals.reverse(tx, new, wallet_id=top_up.wallet_id, amount=amount):
        raise BalanceTooLow
    fact = ledger.fact_of(replace(new, amount=amount), wallet_id=top_up.wallet_id)
    await tell(tx, fact)
    posted = await transfers.find(tx, new.id)
    assert posted is not None
    await log.write(
        tx,
        "transfer_reversed",
        {
            "transfer": str(new.id),
            "original": str(top_up.id),
            "amount": amount,
            "reason": new.reference,
        },
        user_id=new.user_id,
        **log.by(origin),
    )
    return posted
