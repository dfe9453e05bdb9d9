"""List profiles, newest first."""

from __future__ import annotations

from services.kernel.db.database import Database
from services.kernel.paging import PageTokens, page_size
from services.profile.model import Profile
from services.profile.store import profiles


class ListProfiles:
    """Lists profiles in pages.

    Args:
        database: Where they are.
        tokens: Makes and reads page tokens.
    """

    def __init__(self, database: Database, tokens: PageTokens) -> None:
        """See the class."""
        self._database = database
        self._tokens = tokens

    async def __call__(
        self, *, status: str | None, size: int, token: str
    ) -> tuple[list[Profile], str]:
        """Return a page, and the token of the next one or "".

        Raises:
            InvalidField: The size is negative, or the token not one of this list.
        """
        limit = page_size(size)
        listing = f"profiles {status or ''}"
        found = await profiles.list_newest(
            self._database,
            status=status,
            before=self._tokens.newest_first(token, listing=listing),
            limit=limit + 1,
        )
        if len(found) <= limit:
            return found, ""
        last = found[limit - 1]
        return found[:limit], self._tokens.after(last.create_time, last.id, listing=listing)
