"""Get a profile: one's own, or any for administrators."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.kernel.db.database import Database
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import Caller
from services.profile.errors import ProfileNotFound
from services.profile.model import Profile
from services.profile.store import profiles


@dataclass(frozen=True, slots=True)
class GetProfile:
    """Get a profile with its brand."""

    database: Database

    async def __call__(self, *, caller: Caller, user_id: UUID) -> Profile:
        """Return a user's profile.

        Raises:
            Forbidden: The profile is another user's, and the caller is not an administrator.
            ProfileNotFound: The user has no profile.
        """
        require_own(user_id, caller)
        profile = await profiles.get(self.database, user_id)
        if profile is None:
            raise ProfileNotFound
        return profile
