"""Set the status of a profile."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database, Transaction
from services.profile.errors import ProfileNotFound
from services.profile.store import profiles


@dataclass(frozen=True, slots=True)
class SetProfileStatus:
    """Follow the status of a user at Auth."""

    database: Database

    async def __call__(self, *, user_id: UUID, status: str, version: int) -> None:
        """Set the status, unless a later change came before.

        Raises:
            ProfileNotFound: The user has no profile.
        """

        async def set_status(tx: Transaction) -> bool:
            return await profiles.set_status(tx, user_id, status=status, version=version)

        if not await self.database.transact("SetProfileStatus", set_status):
            raise ProfileNotFound
