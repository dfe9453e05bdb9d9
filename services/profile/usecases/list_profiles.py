"""List profiles, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.db.database import Database
from services.kernel.paging import PageTokens
from services.profile.model import Profile
from services.profile.store import profiles


@dataclass(frozen=True, slots=True)
class ListProfiles:
    """List profiles in pages."""

    database: Database
    tokens: PageTokens

    async def __call__(
        self, *, status: str | None, limit: int, token: str
    ) -> tuple[list[Profile], str]:
        """Return a page and the token of the next one, empty on the last.

        Raises:
            InvalidField: The token is not one of this list.
        """
        listing = f"profiles {status or ''}"
        found = await profiles.list_newest(
            self.database,
            status=status,
            before=self.tokens.newest_first(token, listing=listing),
            limit=limit + 1,
        )
        if len(found) <= limit:
            return found, ""
        last = found[limit - 1]
        return found[:limit], self.tokens.after(last.create_time, last.id, listing=listing)
