"""Get a user: one's own, or any for administrators."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.errors import UserNotFound
from services.auth.model import User
from services.auth.store import users
from services.kernel.db.database import Database
from services.kernel.rpc import call
from services.kernel.rpc.access import owned_id


@dataclass(frozen=True, slots=True)
class GetUser:
    """Gets users from the database."""

    database: Database

    async def __call__(self, *, caller: call.UserPrincipal, user_id: str) -> User:
        """Return a user.

        Raises:
            Forbidden: It is somebody else, and the caller is no administrator.
            UserNotFound: There is none.
        """
        user = await users.get(self.database, owned_id(user_id, caller))
        if user is None:
            raise UserNotFound
        return user
