"""Change a profile: one's own, or any for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import EtagMismatch
from services.kernel.events.writer import tell
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import Caller, Origin
from services.profile import events
from services.profile.errors import ProfileNotFound
from services.profile.model import Profile, display_name
from services.profile.store import profiles


@dataclass(frozen=True, slots=True)
class UpdateProfile:
    """Change some fields of a profile."""

    database: Database

    async def __call__(
        self,
        *,
        caller: Caller,
        user_id: UUID,
        changes: Mapping[str, Any],
        origin: Origin,
        etag: str = "",
    ) -> Profile:
        """Change a profile and return it; write nothing when nothing differs.

        Args:
            caller: The user or service that wants the change.
            user_id: The owner of the profile.
            changes: The fields with their new values; None takes a value away.
            origin: The caller, for the audit log.
            etag: The etag that the profile must have, unless it is empty.

        Raises:
            Forbidden: The profile is another user's, and the caller is not an administrator.
            ProfileNotFound: The user has no profile.
            EtagMismatch: The profile has changed meanwhile.
            PhoneTaken: Another profile has the phone number.
        """
        require_own(user_id, caller)

        async def update(tx: Transaction) -> Profile:
            profile = await profiles.lock(tx, user_id)
            if profile is None:
                raise ProfileNotFound
            if etag and etag != profile.etag:
                raise EtagMismatch
            changed = _changed(profile, changes)
            if changed == profile:
                return profile
            if user_id != caller.own_id:
                await log.write(
                    tx,
                    "profile_updated",
                    {"fields": ",".join(sorted(changes))},
                    user_id=user_id,
                    **log.by(origin),
                )
            fact = events.profile_changed(profile.id, user_id=user_id, fields=changes)
            await tell(tx, fact)
            return await profiles.update_locked(tx, changed)

        return await self.database.transact("UpdateProfile", update)


def _changed(profile: Profile, changes: Mapping[str, Any]) -> Profile:
    changed = replace(profile, **changes)
    if (changed.first_name, changed.last_name) == (profile.first_name, profile.last_name):
        return changed  # an older profile has a display name without the other two
    return replace(changed, display_name=display_name(changed.first_name, changed.last_name))
