"""Get a user: the caller, or any user for an administrator."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.errors import UserNotFound
from services.auth.model import User
from services.auth.store import users
from services.kernel.db.database import Database
from services.kernel.rpc import call
from services.kernel.rpc.access import require_own


@dataclass(frozen=True, slots=True)
class GetUser:
    """Gets users."""

    database: Database

    async def __call__(self, *, caller: call.Caller, user_id: UUID) -> User:
        """Return a user.

        Raises:
            Forbidden: The id is another user's, and the caller is not an administrator.
            UserNotFound: There is no such user.
        """
        require_own(user_id, caller)
        user = await users.get(self.database, user_id)
        if user is None:
            raise UserNotFound
        return user
