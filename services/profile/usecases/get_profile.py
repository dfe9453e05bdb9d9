"""Get a profile: one's own, or any for administrators."""

from __future__ import annotations

from services.kernel.db.database import Database
from services.kernel.rpc.access import owned_id
from services.kernel.rpc.call import UserPrincipal
from services.profile.errors import ProfileNotFound
from services.profile.model import Profile
from services.profile.store import profiles


class GetProfile:
    """Gets profiles with their brands."""

    def __init__(self, database: Database) -> None:
        """Look there."""
        self._database = database

    async def __call__(self, *, caller: UserPrincipal, user_id: str) -> Profile:
        """Return a profile; `me` is the caller's.

        Raises:
            Forbidden: It is somebody else's, and the caller is no administrator.
            ProfileNotFound: There is none.
        """
        profile = await profiles.get(self._database, owned_id(user_id, caller))
        if profile is None:
            raise ProfileNotFound
        return profile
