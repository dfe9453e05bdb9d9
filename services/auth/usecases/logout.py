"""End a session, or all sessions of a user."""

from __future__ import annotations

from services.auth.domain.audit import Audit, Event
from services.auth.store import sessions
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc import call


class Logout:
    """Ends sessions."""

    def __init__(self, database: Database, audit: Audit) -> None:
        """End those of this database, and write it down."""
        self._database = database
        self._audit = audit

    async def __call__(
        self, *, caller: call.UserPrincipal, all_sessions: bool, client_ip: str | None
    ) -> None:
        """End the caller's session, or all of the caller's."""

        async def work(tx: Transaction) -> None:
            if all_sessions:
                await sessions.end_all(tx, caller.id)
            else:
                await sessions.end(tx, caller.session_id)
            await self._audit.write(
                tx, Event.SESSION_REVOKED, user_id=caller.id, client_ip=client_ip
            )

        await self._database.transact("logout", work)
