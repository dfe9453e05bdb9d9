"""Set the status of a profile."""

from __future__ import annotations

from uuid import UUID

from services.kernel.db.database import Database, Transaction
from services.profile.errors import ProfileNotFound
from services.profile.store import profiles


class SetProfileStatus:
    """Follows what Auth says of its users."""

    def __init__(self, database: Database) -> None:
        """Set it there."""
        self._database = database

    async def __call__(self, *, user_id: UUID, status: str, version: int) -> None:
        """Set the status, unless a later change was seen before.

        Raises:
            ProfileNotFound: There is none.
        """

        async def set_status(tx: Transaction) -> bool:
            return await profiles.set_status(tx, user_id, status=status, version=version)

        if not await self._database.transact("SetProfileStatus", set_status):
            raise ProfileNotFound
