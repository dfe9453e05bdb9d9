"""List the mail that waits to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.auth.store import outbox
from services.auth.store.outbox import QueuedMail
from services.kernel.db.database import Database
from services.kernel.paging import PageTokens

LISTING: Final = "waiting mail"
_OLDEST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class ListWaitingMail:
    """Lists mail without its contents and readers, the oldest first."""

    database: Database
    tokens: PageTokens

    async def __call__(self, *, size: int, page_token: str) -> tuple[list[QueuedMail], str]:
        """Return a page, and the token of the next page, which is empty on the last.

        Raises:
            InvalidField: The token belongs to another list.
        """
        after = _OLDEST
        if page_token:
            [last] = self.tokens.read(page_token, listing=LISTING)
            after = UUID(last)
        found = await outbox.queue(self.database, after=after, limit=size + 1)
        if len(found) <= size:
            return found, ""
        token = self.tokens.make([str(found[size - 1].id)], listing=LISTING)
        return found[:size], token
