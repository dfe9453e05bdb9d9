"""Let sellers spend their shares of what is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState
from services.kernel.events.writer import tell
from services.profile.domain import shares
from services.profile.errors import TransferNotFound
from services.profile.model import Share, TransferKind, TransferState
from services.profile.store import transfers


@dataclass(frozen=True, slots=True)
class ReleaseSales:
    """Release shares that are pending; a repeat changes nothing."""

    database: Database

    async def __call__(
        self, *, release_id: UUID, original_id: UUID, given: Sequence[Share], actor: str
    ) -> None:
        """Move shares of a debit from what is pending to the wallets of their sellers.

        Raises:
            TransferNotFound: There is no transfer with the original id.
            IllegalState: The original is not a posted debit, or less of it is pending.
        """

        async def release(tx: Transaction) -> None:
            debit = await transfers.lock(tx, original_id)
            if debit is None:
                raise TransferNotFound
            is_posted = debit.state is TransferState.POSTED and not debit.is_undone
            if debit.kind is not TransferKind.DEBIT or not is_posted:
                raise IllegalState("Only shares of a posted debit can be released.")
            facts = await shares.release(tx, debit, release_id, given, actor=actor)
            await tell(tx, *facts)

        await self.database.transact("ReleaseSales", release)
