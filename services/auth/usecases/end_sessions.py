"""End the sessions of a user, but not the caller's own."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.domain.endings import end_opened
from services.auth.domain.freshness import require_fresh
from services.auth.errors import UserNotFound
from services.auth.store import credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc import call
from services.kernel.rpc.access import require_own


@dataclass(frozen=True, slots=True)
class EndSessions:
    """Ends all sessions of users, but the callers' own."""

    database: Database
    audit: Audit

    async def __call__(self, *, caller: call.Caller, user_id: UUID, client_ip: str | None) -> None:
        """End the sessions, and all that they and the credentials have opened.

        Raises:
            Forbidden: The id is another user's, and the caller is not an administrator.
            ReauthenticationRequired: The caller proved the password too long ago.
            UserNotFound: There is no such user.
        """
        require_own(user_id, caller)
        await require_fresh(self.database, caller)

        async def work(tx: Transaction) -> None:
            if await credentials.lock(tx, user_id) is None:
                raise UserNotFound
            await end_opened(tx, user_id, keep_session=caller.own_session_id)
            await self.audit.write(
                tx,
                Event.SESSION_REVOKED,
                user_id=user_id,
                actor=caller.actor,
                client_ip=client_ip,
                by="end sessions",
            )

        await self.database.transact("sessions.end", work)
