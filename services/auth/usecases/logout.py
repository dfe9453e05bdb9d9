"""End one session of the caller, or all."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.audit import Audit, Event
from services.auth.domain.endings import end_opened
from services.auth.store import credentials, sessions
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc import call


@dataclass(frozen=True, slots=True)
class Logout:
    """Ends sessions."""

    database: Database
    audit: Audit

    async def __call__(
        self, *, caller: call.UserPrincipal, all_sessions: bool, client_ip: str | None
    ) -> None:
        """End the caller's session, or all sessions of the caller."""

        async def work(tx: Transaction) -> None:
            if await credentials.lock(tx, caller.id) is None:
                return  # the account was deleted, and its sessions with it
            if all_sessions:
                await end_opened(tx, caller.id)
            else:
                await sessions.end(tx, caller.session_id)
            await self.audit.write(
                tx, Event.SESSION_REVOKED, user_id=caller.id, client_ip=client_ip
            )

        await self.database.transact("logout", work)
