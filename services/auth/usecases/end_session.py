"""End one session of a user."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.domain.freshness import require_fresh
from services.auth.errors import SessionNotFound
from services.auth.store import credentials, sessions
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc import call
from services.kernel.rpc.access import require_own


@dataclass(frozen=True, slots=True)
class EndSession:
    """Ends single sessions."""

    database: Database
    audit: Audit

    async def __call__(
        self, *, caller: call.Caller, user_id: UUID, session_id: UUID, client_ip: str | None
    ) -> None:
        """End a session, and what it has opened.

        Raises:
            Forbidden: The id is another user's, and the caller is not an administrator.
            ReauthenticationRequired: The session is not the caller's own, and the caller
                proved the password too long ago.
            SessionNotFound: The user has no such session.
        """
        require_own(user_id, caller)
        if session_id != caller.own_session_id:
            await require_fresh(self.database, caller)

        async def work(tx: Transaction) -> None:
            user = await credentials.lock(tx, user_id)
            if user is None or not await sessions.end_of_user(tx, session_id, user_id=user_id):
                raise SessionNotFound
            await self.audit.write(
                tx,
                Event.SESSION_REVOKED,
                user_id=user_id,
                actor=caller.actor,
                client_ip=client_ip,
                session=str(session_id),
            )

        await self.database.transact("session.end", work)
