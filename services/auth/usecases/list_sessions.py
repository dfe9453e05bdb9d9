"""List the sessions of a user."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.errors import UserNotFound
from services.auth.store import sessions, users
from services.auth.store.sessions import ListedSession
from services.kernel.db.database import Database
from services.kernel.rpc import call
from services.kernel.rpc.access import require_own


@dataclass(frozen=True, slots=True)
class ListSessions:
    """Lists sessions."""

    database: Database

    async def __call__(self, *, caller: call.Caller, user_id: UUID) -> list[ListedSession]:
        """Return the sessions of a user, the one that was seen last first.

        Raises:
            Forbidden: The id is another user's, and the caller is not an administrator.
            UserNotFound: There is no such user.
        """
        require_own(user_id, caller)
        if await users.get(self.database, user_id) is None:
            raise UserNotFound
        return await sessions.list_of_user(self.database, user_id)
