"""How many products a list has: counted seldom, because counting costs more than a page."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from services.commerce.model import Filters, Sort
from services.commerce.store import listing
from services.kernel.db.database import Reader

KEPT_SECONDS = 10.0
KEPT_MAX = 1000


@dataclass(frozen=True, slots=True)
class Total:
    """How many products there are, or at least are."""

    count: int
    is_lower_bound: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts each list once in ten seconds, and anew when the catalog has changed here."""

    reader: Reader
    _kept: dict[Filters, tuple[asyncio.Task[Total], float]] = field(
        default_factory=dict, init=False
    )

    async def of(self, filters: Filters) -> Total:
        """Return the total of a list; callers that come together wait for one count."""
        key = replace(filters, sort=Sort.NEWEST)  # a total has no order
        task, expires = self._kept.get(key, (None, 0.0))
        if task is None or expires <= time.monotonic():
            task = self._begin(key)
        # A caller that leaves must not take the count from the others.
        return await asyncio.shield(task)

    def clear(self) -> None:
        """Forget what was counted."""
        self._kept.clear()

    def _begin(self, key: Filters) -> asyncio.Task[Total]:
        if len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        task = asyncio.create_task(self._count(key))
        self._kept[key] = task, time.monotonic() + KEPT_SECONDS
        return task

    async def _count(self, key: Filters) -> Total:
        try:
            counted = await listing.count_products(self.reader, key)
        except BaseException:
            self._kept.pop(key, None)
            raise
        return Total(min(counted, listing.COUNTED_MAX), counted > listing.COUNTED_MAX)
