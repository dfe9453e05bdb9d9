"""Take back what a registration made here, and refuse what comes of it later."""

from __future__ import annotations

from uuid import UUID

from services.kernel.db.database import Database, Transaction
from services.kernel.sagas import barrier
from services.profile.store import profiles, wallets
from services.profile.usecases.create_profile import BRANCH


class CancelProfile:
    """Undoes CreateProfile; succeeds as often as it is asked, also when there was nothing."""

    def __init__(self, database: Database) -> None:
        """Undo there."""
        self._database = database

    async def __call__(self, *, saga_id: UUID) -> None:
        """Leave a tombstone, and remove what belongs to the saga, whatever the tombstone says."""

        async def cancel(tx: Transaction) -> None:
            await barrier.cancel(tx, saga_id=saga_id, branch=BRANCH)
            user_id = await profiles.delete_of_saga(tx, saga_id)
            if user_id is not None:
                await wallets.close(tx, user_id)

        await self._database.transact("CancelProfile", cancel)
