"""Say whether a session lives, and which role its user has."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.store import sessions
from services.kernel.db.database import Database
from services.kernel.ids import parse_id
from services.kernel.rpc.access import Session


@dataclass(frozen=True, slots=True)
class CheckSession:
    """Answers the other services about sessions."""

    database: Database

    async def __call__(self, *, sid: str) -> Session | None:
        """Return a session, or None when it or its user's access has ended.

        Raises:
            InvalidField: It is no id.
        """
        return await sessions.check(self.database, parse_id(sid, field="sid"))
