"""List the API keys of an account: the caller's own, or any for administrators."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.errors import UserNotFound
from services.auth.store import api_keys, users
from services.auth.store.api_keys import ListedKey
from services.kernel.db.database import Database
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class ListApiKeys:
    """Lists API keys."""

    database: Database

    async def __call__(self, *, caller: Caller, user_id: UUID) -> list[ListedKey]:
        """Return the keys of a user, the newest first.

        Raises:
            Forbidden: The id is another user's, and the caller is not an administrator.
            UserNotFound: There is no such user.
        """
        require_own(user_id, caller)
        if await users.get(self.database, user_id) is None:
            raise UserNotFound
        return await api_keys.list_of_user(self.database, user_id)
