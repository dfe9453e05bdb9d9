"""What this process keeps of the lists of products, for ten seconds each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from services.commerce.domain.broad_lists import BroadLists
from services.commerce.domain.totals import Totals
from services.kernel.db.database import Reader


@dataclass(frozen=True, slots=True)
class ListMemory:
    """The totals of lists, and the pages of broad ones."""

    totals: Totals
    broad: BroadLists

    @classmethod
    def over(cls, reader: Reader) -> Self:
        """Make a memory of what this reader finds."""
        return cls(Totals(reader), BroadLists(reader))

    def clear(self) -> None:
        """Discard everything, because the catalog has changed."""
        self.totals.clear()
        self.broad.clear()
