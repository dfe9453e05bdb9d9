"""Say whether a phone number is taken."""

from __future__ import annotations

from services.kernel.db.database import Database
from services.profile.store import profiles


class PhoneExists:
    """Looks for phone numbers."""

    def __init__(self, database: Database) -> None:
        """Look there."""
        self._database = database

    async def __call__(self, *, phone_number: str) -> bool:
        """Return whether a profile has the number (digits after a plus)."""
        return await profiles.phone_exists(self._database, phone_number)
