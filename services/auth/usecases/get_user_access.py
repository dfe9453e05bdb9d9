"""Show how an account stands: its sessions, what was counted, and mail that waits."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.code_limits import CodeCounter
from services.auth.domain.codes import Codes
from services.auth.domain.login_throttle import LoginCounters, LoginThrottle
from services.auth.domain.outbox import Outbox
from services.auth.errors import UserNotFound
from services.auth.model import CanonicalEmail, User
from services.auth.store import credentials, sessions, users
from services.auth.store.outbox import QueuedMail
from services.auth.store.sessions import ListedSession
from services.kernel.db.database import Database


@dataclass(frozen=True, slots=True)
class UserAccess:
    """How an account stands."""

    user: User
    sessions: list[ListedSession]
    logins: LoginCounters
    codes: list[CodeCounter]
    waiting_mail: list[QueuedMail]


@dataclass(frozen=True, slots=True)
class GetUserAccess:
    """Shows how accounts stand."""

    database: Database
    throttle: LoginThrottle
    codes: Codes
    outbox: Outbox

    async def __call__(self, account: UUID | CanonicalEmail) -> UserAccess:
        """Return how a user's account stands, named by the id or the e-mail.

        Raises:
            UserNotFound: There is no such user.
        """
        found = await credentials.by_name(self.database, account)
        user = None if found is None else await users.get(self.database, found.user_id)
        if found is None or user is None:
            raise UserNotFound
        return UserAccess(
            user=user,
            sessions=await sessions.list_of_user(self.database, user.id),
            logins=await self.throttle.counters(self.database, found.email),
            codes=await self.codes.limits.counters(self.database, found.email),
            waiting_mail=await self.outbox.waiting_for(self.database, found.email),
        )
