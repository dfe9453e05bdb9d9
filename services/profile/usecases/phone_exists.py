"""Tell whether a phone number is taken."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.db.database import Database
from services.profile.store import profiles


@dataclass(frozen=True, slots=True)
class PhoneExists:
    """Look for a profile with a phone number."""

    database: Database

    async def __call__(self, *, phone_number: str) -> bool:
        """Return whether a profile has the number, given as digits after a plus."""
        return await profiles.phone_exists(self.database, phone_number)
