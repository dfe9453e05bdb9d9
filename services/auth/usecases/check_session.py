"""Say whether a session lives, and which role its user has."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.store import sessions
from services.kernel.db.database import Database
from services.kernel.rpc.access import Session


@dataclass(frozen=True, slots=True)
class CheckSession:
    """Answers the other services about sessions."""

    database: Database

    async def __call__(self, session_id: UUID) -> Session | None:
        """Return a session, or None when it or its user's access has ended."""
        return await sessions.check(self.database, session_id)
