"""Change a profile: one's own, or any for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import EtagMismatch
from services.kernel.rpc.access import owned_id
from services.kernel.rpc.call import UserPrincipal
from services.profile.errors import ProfileNotFound
from services.profile.model import Profile, display_name
from services.profile.store import profiles


class UpdateProfile:
    """Changes some fields of profiles."""

    def __init__(self, database: Database) -> None:
        """Change them there."""
        self._database = database

    async def __call__(
        self, *, caller: UserPrincipal, user_id: str, changes: Mapping[str, Any], etag: str = ""
    ) -> Profile:
        """Change a profile and return it; without a difference nothing is written.

        Args:
            caller: Who asks.
            user_id: Whose profile; `me` is the caller's.
            changes: Fields with their new values; None takes a value away.
            etag: If given, what the profile's has to be.

        Raises:
            Forbidden: It is somebody else's, and the caller is no administrator.
            ProfileNotFound: There is none.
            EtagMismatch: It has changed meanwhile.
            PhoneTaken: Another profile has the phone number.
        """
        owner = owned_id(user_id, caller, field="profile.user_id")

        async def update(tx: Transaction) -> Profile:
            profile = await profiles.lock(tx, owner)
            if profile is None:
                raise ProfileNotFound
            if etag and etag != profile.etag:
                raise EtagMismatch
            changed = _changed(profile, changes)
            return profile if changed == profile else await profiles.update_locked(tx, changed)

        return await self._database.transact("UpdateProfile", update)


def _changed(profile: Profile, changes: Mapping[str, Any]) -> Profile:
    changed = replace(profile, **changes)
    if (changed.first_name, changed.last_name) == (profile.first_name, profile.last_name):
        return changed  # older profiles have a display name without the others
    return replace(changed, display_name=display_name(changed.first_name, changed.last_name))
