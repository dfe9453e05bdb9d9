"""The totals of lists: counted seldom, because a count costs more than a page."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from services.commerce.model import Filters, Sort
from services.commerce.store import listing
from services.kernel.db.database import Reader

COUNT_TTL_SECONDS = 10.0
COUNT_CACHE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Total:
    """The number of products in a list, or a lower bound of it."""

    count: int
    is_lower_bound: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts each list once in ten seconds, and again after a change of the catalog here."""

    reader: Reader
    _counts: dict[Filters, tuple[asyncio.Task[Total], float]] = field(
        default_factory=dict, init=False
    )

    async def of(self, filters: Filters) -> Total:
        """Return the total of a list; concurrent callers wait for one count."""
        key = replace(filters, sort=Sort.NEWEST)  # a total has no order
        task, expires = self._counts.get(key, (None, 0.0))
        if task is None or expires <= time.monotonic():
            task = self._begin(key)
        # A caller that leaves must not cancel the count for the others.
        return await asyncio.shield(task)

    def clear(self) -> None:
        """Discard all counts."""
        self._counts.clear()

    def _begin(self, key: Filters) -> asyncio.Task[Total]:
        if len(self._counts) >= COUNT_CACHE_SIZE:
            del self._counts[next(iter(self._counts))]
        task = asyncio.create_task(self._count(key))
        self._counts[key] = task, time.monotonic() + COUNT_TTL_SECONDS
        return task

    async def _count(self, key: Filters) -> Total:
        try:
            counted = await listing.count_products(self.reader, key)
        except BaseException:
            self._counts.pop(key, None)
            raise
        return Total(min(counted, listing.COUNTED_MAX), counted > listing.COUNTED_MAX)
