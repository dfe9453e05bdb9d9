"""Erase the data of a person whose account is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import tell
from services.kernel.sagas import barrier
from services.profile.store import profiles, wallets
from services.profile.usecases import create_profile


@dataclass(frozen=True, slots=True)
class ForgetProfile:
    """Erase a profile; a repeat changes nothing."""

    database: Database

    async def __call__(self, *, user_id: UUID, forfeit: int | None, actor: str) -> None:
        """Erase profile, brand and kept replies, close the wallet, and leave tombstones.

        Args:
            user_id: The owner.
            forfeit: The balance that the owner has given up; None: all of it.
            actor: Who asks for it, as transfers have it.
        """

        async def forget(tx: Transaction) -> None:
            await barrier.cancel(tx, saga_id=user_id, branch=profiles.FORGOTTEN)
            saga_id = await profiles.saga_of(tx, user_id)
            if saga_id is not None:
                # The tombstone replaces the stored reply of the registration.
                await barrier.cancel(tx, saga_id=saga_id, branch=create_profile.BRANCH)
            await profiles.delete_of_user(tx, user_id)
            # The wallet first: a top-up that it waits for has a key that tells of the user.
            facts = await wallets.close(tx, user_id, actor=actor, forfeit=forfeit)
            await tell(tx, *facts)
            await profiles.FORGETTING.entomb(tx, user_id)
            await profiles.FORGETTING.forget_user(tx, user_id)

        await self.database.transact("ForgetProfile", forget)
