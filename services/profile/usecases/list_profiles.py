"""List profiles, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.db.database import Database
from services.kernel.paging import PageRows, PageTokens
from services.profile.model import Profile
from services.profile.store import profiles


@dataclass(frozen=True, slots=True)
class ListProfiles:
    """List profiles in pages."""

    database: Database
    tokens: PageTokens

    async def __call__(self, *, status: str | None, limit: int, token: str) -> PageRows[Profile]:
        """Return the profiles of a page.

        Raises:
            InvalidField: The token is not one of this list.
        """
        listing = f"profiles {status or ''}"

        def token_after(profile: Profile) -> str:
            return self.tokens.after(profile.create_time, profile.id, listing=listing)

        before = self.tokens.newest_first(token, listing=listing)
        found = await profiles.list_newest(
            self.database, status=status, before=before, limit=limit + 1
        )
        return PageRows(found, limit, token_after)
