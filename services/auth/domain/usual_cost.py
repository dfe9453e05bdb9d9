"""Keep the work of a login without an account like that of most logins with one.

After a change of LOCKSTEP_BCRYPT_COST, and after an import, most hashes may have another cost
than a new one. Then the time of an answer would tell which e-mails have accounts.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import structlog

from services.auth.domain.passwords import Hasher
from services.auth.store import credentials
from services.kernel.db.database import Database
from services.kernel.errors import DatabaseUnavailable, TooManyRequests
from services.kernel.tasks import PeriodicTask

EVERY_SECONDS: Final = 300.0
SOON_SECONDS: Final = 5.0

log = structlog.get_logger("lockstep.passwords")


class UsualCost(PeriodicTask):
    """Asks at the start, and now and then, which cost most hashes have."""

    def __init__(self, database: Database, hasher: Hasher) -> None:
        super().__init__(self._run, name="usual-cost")
        self._database = database
        self._hasher = hasher

    async def look(self) -> None:
        """Look once.

        Raises:
            DatabaseUnavailable: The database did not answer in time.
            TooManyRequests: Too many passwords are being hashed.
        """
        cost = await credentials.usual_cost(self._database)
        if cost is not None:
            await self._hasher.adopt_cost(cost)
        self.succeeded()

    async def _run(self) -> None:
        while True:
            seconds = SOON_SECONDS
            try:
                await self.look()
                seconds = EVERY_SECONDS
            except (DatabaseUnavailable, TooManyRequests):
                log.warning("cannot look at the cost of passwords")
            except Exception:
                log.exception("cannot look at the cost of passwords")
            await asyncio.sleep(seconds * random.uniform(0.8, 1.2))
