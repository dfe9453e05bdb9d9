"""The lab of the benchmark's rows: a Lockstep, people, and the time to take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rich.progress import Progress, TaskID

from services.commerce.store.seeding import seed
from tests.bench.people import Clients, Person, administrator, clients
from tests.bench.report import Finding
from tests.bench.stack import Stack

PRODUCTS, CATEGORIES = 1_000, 16
# Hashes that cost nothing, for rows that do not measure hashing.
CHEAP = {"env": "test", "bcrypt_cost": "4"}


@dataclass(slots=True, kw_only=True)
class Lab:
    """The lab of a row.

    Attributes:
        stack: Lockstep, which runs with the settings of the row.
        is_quick: Whether to measure less.
    """

    stack: Stack
    is_quick: bool
    progress: Progress
    task: TaskID
    _is_seeded: bool = False
    _admin_email: str = ""
    findings: list[Finding] = field(default_factory=list)

    def rounds(self, seconds: float) -> tuple[int, float]:
        """Return the number of rounds, and the seconds of each."""
        return (2, min(seconds, 1.5)) if self.is_quick else (5, seconds)

    def say(self, text: str) -> None:
        """Show the progress of the row."""
        self.progress.update(self.task, description=text)

    @asynccontextmanager
    async def running(self, **settings: str) -> AsyncIterator[Clients]:
        """Run Lockstep with these settings and a small catalog, and connect to it."""
        self.say("starting Lockstep")
        await self.stack.run_with(**settings)
        if not self._is_seeded:
            url = self.stack.database_url("commerce")
            await asyncio.to_thread(
                seed, url, products=PRODUCTS, categories=CATEGORIES, random_seed=1
            )
            self._is_seeded = True
        async with clients(self.stack) as connected:
            yield connected

    async def admin(self, to: Clients) -> Person:
        """Return the administrator; make one at the first call."""
        if not self._admin_email:
            person = await administrator(self.stack, to)
            self._admin_email = person.email
            return person
        return await to.log_in(self._admin_email)


Row = Callable[[Lab], Awaitable[list[Finding]]]


async def together(
    callers: Sequence[Callable[[], Awaitable[object]]],
) -> tuple[list[float], list[object]]:
    """Start everything at once; return the seconds and the outcome of each."""
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def one(call: Callable[[], Awaitable[object]]) -> object:
        began = loop.time()
        try:
            return await call()
        finally:
            times.append(loop.time() - began)

    came = await asyncio.gather(*(one(call) for call in callers), return_exceptions=True)
    return sorted(times), came


def p99(times: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.99))]
