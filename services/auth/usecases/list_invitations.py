"""List the open invitations."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain import invitations
from services.auth.domain.invitations import Invitation
from services.auth.store import invitations as store
from services.kernel.db.database import Database
from services.kernel.paging import PageTokens

LISTING = "invitations"


@dataclass(frozen=True, slots=True)
class ListInvitations:
    """Lists open invitations, the newest first."""

    database: Database
    tokens: PageTokens

    async def __call__(self, *, size: int, page_token: str) -> tuple[list[Invitation], str]:
        """Return a page, and the token of the next page, which is empty on the last.

        Raises:
            InvalidField: The token belongs to another list.
        """
        before = self.tokens.newest_first(page_token, listing=LISTING)
        rows = await store.list_open(self.database, before=before, limit=size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = self.tokens.after(last.create_time, last.id, listing=LISTING)
        found = map(invitations.read, rows[:size])
        return [each for each in found if each is not None], token
