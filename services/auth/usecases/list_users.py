"""List users."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from services.auth.model import User
from services.auth.store import user_lists
from services.auth.store.user_lists import UserFilters
from services.kernel.db.database import Database
from services.kernel.paging import PageTokens, listing_of


@dataclass(frozen=True, slots=True)
class ListUsers:
    """Lists users, the newest first."""

    database: Database
    tokens: PageTokens

    async def __call__(
        self, filters: UserFilters, *, size: int, page_token: str
    ) -> tuple[list[User], str]:
        """Return a page, and the token of the next page, which is empty on the last.

        Raises:
            InvalidField: The token belongs to another list, or to other filters.
        """
        listing = listing_of("users", **asdict(filters))
        before = self.tokens.newest_first(page_token, listing=listing)
        found = await user_lists.list_users(self.database, filters, before=before, limit=size + 1)
        if len(found) <= size:
            return found, ""
        last = found[size - 1]
        return found[:size], self.tokens.after(last.create_time, last.id, listing=listing)
