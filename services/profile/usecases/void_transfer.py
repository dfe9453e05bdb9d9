"""Undo a debit, or refuse it in advance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import InvalidField, Violation
from services.kernel.events.writer import tell
from services.kernel.ids import new_id
from services.kernel.rpc.call import Origin
from services.profile.domain import shares
from services.profile.model import NewTransfer, Transfer, TransferKind, TransferState
from services.profile.store import ledger, transfers


@dataclass(frozen=True, slots=True)
class VoidTransfer:
    """Undo DebitWallet; a repeat succeeds, and so does a call without a debit."""

    database: Database

    async def __call__(self, *, transfer_id: UUID, actor: str, origin: Origin) -> Transfer:
        """Give back the rest of a debit, or leave a tombstone for it; return the debit.

        The shares of sellers go back, too.

        Raises:
            InvalidField: The id is not the id of a debit.
        """

        async def void(tx: Transaction) -> Transfer:
            await transfers.insert_tombstone(tx, transfer_id)
            debit = await transfers.lock(tx, transfer_id)
            assert debit is not None
            if debit.kind is not TransferKind.DEBIT:
                raise InvalidField(Violation("transfer_id", "must be the id of a debit"))
            if debit.state is not TransferState.POSTED:
                return debit
            if not debit.is_undone:
                await _reverse(tx, debit, actor, origin)
            return replace(debit, state=TransferState.VOIDED)

        return await self.database.transact("VoidTransfer", void)


async def _reverse(tx: Transaction, debit: Transfer, actor: str, origin: Origin) -> None:
    assert debit.wallet_id is not None
    facts = await shares.undo(tx, debit, actor=actor)
    reversal = NewTransfer(
        id=new_id(),
        kind=TransferKind.VOID,
        amount=debit.amount - await transfers.given_back(tx, debit.id),
        reference=debit.reference,
        original_id=debit.id,
        actor=actor,
    )
    facts.append(await ledger.give_back(tx, reversal, wallet_id=debit.wallet_id))
    await tell(tx, *facts)
    await log.write(
        tx,
        "transfer_voided",
        {"transfer": str(debit.id), "amount": reversal.amount},
        user_id=debit.user_id,
        **log.by(origin),
    )
