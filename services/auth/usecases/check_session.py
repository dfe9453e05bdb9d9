"""Tell another service whether a session lives, and the role of its user."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.store import sessions
from services.kernel.db.database import Database
from services.kernel.rpc.access import Session


@dataclass(frozen=True, slots=True)
class CheckSession:
    """Checks sessions."""

    database: Database

    async def __call__(self, session_id: UUID) -> Session | None:
        """Return a session, or None when it has ended, or its user's access has."""
        return await sessions.check(self.database, session_id)
