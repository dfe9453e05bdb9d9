"""Replicas of Commerce in processes of their own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.commerce.world import Shop, connected
from tests.faulty import Process, started


@contextlib.asynccontextmanager
async def another(
    shop: Shop, log: Path, edge: str, strike: str = "KILL"
) -> AsyncIterator[tuple[Shop, Process]]:
    """Run a replica in a process of its own, struck at an edge."""
    async with (
        started("commerce", shop.settings, log, edge=edge, strike=strike) as process,
        connected(process.port, shop.settings, shop.people, shop.wallets) as replica,
    ):
        yield replica, process
