"""Say whether a session lives, and which role its user has."""

from __future__ import annotations

from services.auth.store import sessions
from services.kernel.db.database import Database
from services.kernel.ids import parse_id
from services.kernel.rpc.access import Session


class CheckSession:
    """Answers the other services about sessions."""

    def __init__(self, database: Database) -> None:
        """Ask there, always."""
        self._database = database

    async def __call__(self, *, sid: str) -> Session | None:
        """Return a session, or None when it or its user's access has ended.

        Raises:
            InvalidField: It is no id.
        """
        return await sessions.check(self._database, parse_id(sid, field="sid"))
