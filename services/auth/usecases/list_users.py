"""List users."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.model import User
from services.auth.store import accounts
from services.kernel.db.database import Database
from services.kernel.paging import PageTokens

LISTING = "users"


@dataclass(frozen=True, slots=True)
class ListUsers:
    """Lists users, the newest first."""

    database: Database
    tokens: PageTokens

    async def __call__(self, *, size: int, page_token: str) -> tuple[list[User], str]:
        """Return a page, and the token of the next page, which is empty on the last.

        Raises:
            InvalidField: The token belongs to another list.
        """
        before = self.tokens.newest_first(page_token, listing=LISTING)
        found = await accounts.list_users(self.database, before=before, limit=size + 1)
        if len(found) <= size:
            return found, ""
        last = found[size - 1]
        return found[:size], self.tokens.after(last.create_time, last.id, listing=LISTING)
