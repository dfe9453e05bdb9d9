"""List users."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.model import User
from services.auth.store import accounts
from services.kernel.db.database import Database
from services.kernel.paging import PageTokens, page_size

LISTING = "users"


@dataclass(frozen=True, slots=True)
class ListUsers:
    """Lists users, newest first."""

    database: Database
    tokens: PageTokens

    async def __call__(self, *, size: int, page_token: str) -> tuple[list[User], str]:
        """Return a page, and the token of the next one, empty on the last.

        Raises:
            InvalidField: The size is negative, or the token is not ours.
        """
        limit = page_size(size)
        before = self.tokens.newest_first(page_token, listing=LISTING)
        found = await accounts.list_users(self.database, before=before, limit=limit + 1)
        if len(found) <= limit:
            return found, ""
        last = found[limit - 1]
        return found[:limit], self.tokens.after(last.create_time, last.id, listing=LISTING)
