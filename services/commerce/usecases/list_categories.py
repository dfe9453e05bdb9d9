"""List categories by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import Category
from services.commerce.store import categories
from services.kernel.db.database import Reader
from services.kernel.paging import PageTokens

_LISTING = "categories"


@dataclass(frozen=True, slots=True)
class ListCategories:
    """Lists categories."""

    reader: Reader
    tokens: PageTokens

    async def __call__(self, *, limit: int, token: str) -> tuple[Sequence[Category], str]:
        """Return a page and the token of the next one, empty on the last.

        Raises:
            InvalidField: The token is wrong.
        """
        found = await categories.list_categories(
            self.reader, after=self._position(token), limit=limit + 1
        )
        page = found[:limit]
        if len(found) == len(page):
            return page, ""
        last = page[-1]
        return page, self.tokens.make([last.name_key, str(last.id)], listing=_LISTING)

    def _position(self, token: str) -> tuple[str, UUID]:
        if not token:
            return categories.FIRST
        key, row_id = self.tokens.read(token, listing=_LISTING)
        return key, UUID(row_id)
