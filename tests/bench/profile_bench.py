"""How fast wallets are debited: distinct users, and 64 callers of one wallet.

    python -m tests.bench.profile_bench [SECONDS]

Profile runs as a process of its own, on a PostgreSQL that syncs its commits.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb

from services.cli.postgres import EmbeddedPostgres
from services.kernel import keys as key_files
from services.kernel.migrations import upgrade
from tests.conftest import SERVICES
from tests.faulty import started
from tests.profile.fake_auth import fake_auth
from tests.profile.world import World, connected, settings_for

CALLERS = 64
FUNDS = 10**9


@dataclass(frozen=True, slots=True)
class Figure:
    """What a run of debits took; times in milliseconds."""

    name: str
    debits: int
    per_second: float
    p50: float
    p99: float

    def __str__(self) -> str:
        """Return a line for people."""
        return (
            f"{self.name:<34} {self.per_second:7.0f}/s   p50 {self.p50:6.1f} ms"
            f"   p99 {self.p99:6.1f} ms   ({self.debits} debits)"
        )


async def debits_on_distinct_users(world: World, *, seconds: float = 5.0) -> Figure:
    """Debit 64 wallets from 64 callers, each its own."""
    users = [await world.user_with(FUNDS) for _ in range(CALLERS)]
    return await _measured(world, "debits, 64 callers, 64 wallets", users, seconds)


async def debits_of_one_wallet(world: World, *, seconds: float = 5.0) -> Figure:
    """Debit one wallet from 64 callers."""
    user_id = await world.user_with(FUNDS)
    return await _measured(world, "debits, 64 callers, one wallet", [user_id] * CALLERS, seconds)


async def debits_one_by_one(world: World, *, seconds: float = 5.0) -> Figure:
    """Debit one wallet from one caller: what a debit takes when nobody is in its way."""
    return await _measured(world, "debits, one caller", [await world.user_with(FUNDS)], seconds)


async def _measured(world: World, name: str, users: Sequence[UUID], seconds: float) -> Figure:
    """Debit until time is up, one caller a user; then check that no cent is wrong.

    Raises:
        AssertionError: A debit was lost, doubled or refused.
    """
    began = time.perf_counter()
    times = await asyncio.gather(*(_debits(world, user, began + seconds) for user in users))
    took = time.perf_counter() - began
    milliseconds = sorted(1000 * each for caller in times for each in caller)
    left = sum([await world.balance(user_id) for user_id in set(users)])
    assert left == FUNDS * len(set(users)) - len(milliseconds)
    assert world.wrong_balances() == []
    return Figure(
        name=name,
        debits=len(milliseconds),
        per_second=len(milliseconds) / took,
        p50=statistics.median(milliseconds),
        p99=milliseconds[int(len(milliseconds) * 0.99)],
    )


async def _debits(world: World, user_id: UUID, until: float) -> list[float]:
    times = []
    while (before := time.perf_counter()) < until:
        answer = await world.debit(user_id, 1)
        assert answer.state == wallet_pb.TRANSFER_STATE_POSTED
        times.append(time.perf_counter() - before)
    return times


@asynccontextmanager
async def bench_world() -> AsyncIterator[World]:
    """Run PostgreSQL and Profile, each as a process of its own."""
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as name:
        folder = Path(name)
        key_files.initialise(folder / "keys")
        server = EmbeddedPostgres(folder / "postgres")
        try:
            server.start()
            server.create_databases(["profiledb"])
            upgrade(server.url("profiledb"), SERVICES / "profile" / "migrations")
            async with fake_auth(folder / "keys") as auth:
                settings = settings_for(server.url("profiledb"), folder / "keys", auth)
                async with (
                    started("profile", settings, folder / "log") as process,
                    connected(process.port, settings, auth) as world,
                ):
                    yield world
        finally:
            server.destroy()


async def figures(*, seconds: float = 5.0) -> list[Figure]:
    """Measure everything here, after a warm-up."""
    async with bench_world() as world:
        await debits_on_distinct_users(world, seconds=min(1.0, seconds))
        return [
            await debits_one_by_one(world, seconds=seconds),
            await debits_on_distinct_users(world, seconds=seconds),
            await debits_of_one_wallet(world, seconds=seconds),
        ]


if __name__ == "__main__":
    for figure in asyncio.run(figures(seconds=float([*sys.argv, "5"][1]))):
        print(figure)
