"""Tell another service whether a session lives, and the role of its user."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.store.session_checks import LocalSessions
from services.kernel.rpc.access import Session


@dataclass(frozen=True, slots=True)
class CheckSession:
    """Checks sessions."""

    sessions: LocalSessions

    async def __call__(self, session_id: UUID) -> Session | None:
        """Return a session, or None when it has ended, or its user's access has."""
        return await self.sessions.check(session_id)
