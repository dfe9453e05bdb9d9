"""Undo the profile of a registration, and refuse it when it comes later."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import tell
from services.kernel.sagas import barrier
from services.profile.store import profiles, wallets
from services.profile.usecases.create_profile import BRANCH


@dataclass(frozen=True, slots=True)
class CancelProfile:
    """Undo CreateProfile; a repeat succeeds, and so does a call without a profile."""

    database: Database

    async def __call__(self, *, saga_id: UUID, actor: str) -> None:
        """Leave a tombstone, and remove the profile of the saga with its wallet.

        Args:
            saga_id: The saga.
            actor: Who asks for it, as transfers have it.
        """

        async def cancel(tx: Transaction) -> None:
            await barrier.cancel(tx, saga_id=saga_id, branch=BRANCH)
            user_id = await profiles.delete_of_saga(tx, saga_id)
            if user_id is not None:
                await tell(tx, *await wallets.close(tx, user_id, actor=actor))

        await self.database.transact("CancelProfile", cancel)
