"""Collects the words of the catalog every hour, for suggestions."""

from __future__ import annotations

import asyncio
import random

import structlog

from services.commerce.store import search_words
from services.kernel.db.database import Database
from services.kernel.errors import DatabaseUnavailable
from services.kernel.tasks import PeriodicTask

FIRST_SECONDS = 60.0
EVERY_SECONDS = 3600.0

log = structlog.get_logger("lockstep.search")


class WordCollector(PeriodicTask):
    """Collects now and then, at random times, so that replicas take turns."""

    def __init__(self, database: Database) -> None:
        super().__init__(self._run, name="words")
        self._database = database

    async def collect(self) -> None:
        """Collect once; a database that fails now may answer in the next round."""
        try:
            await self._database.transact("CollectWords", search_words.collect)
            self.succeeded()
        except DatabaseUnavailable:
            log.warning("could not collect the words of the catalog")
        except Exception:
            log.exception("could not collect the words of the catalog")

    async def _run(self) -> None:
        seconds = FIRST_SECONDS
        while True:
            await asyncio.sleep(seconds * random.uniform(0.5, 1.5))
            await self.collect()
            seconds = EVERY_SECONDS
