"""Clean-up: what a round costs when nothing is due, and how fast it removes what is."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
import structlog

from services.cli.postgres import create_databases
from services.commerce import store
from services.common.service import opened
from services.common.settings import embedded_url
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database
from services.kernel.db.migrations import upgrade
from tests.bench.lab import CHEAP, Lab
from tests.bench.report import Finding, Ratio, at_least, at_most
from tests.bench.row_lists import medians
from tests.bench.stack import ROOT
from tests.plans import full

CLEANUPS = store.CLEANUPS
DUE, QUICK_DUE = 20_000, 5_000  # of each table
FLAT, SHARE = 1.5, 0.10
# Rows that are due, beside the others; then the statements that remove them at once.
ADD = (
    """
    INSERT INTO sagas (id, kind, state, payload, next_run_at, update_time)
    SELECT gen_random_uuid(), 'checkout', 'DONE', '{}', now(), now() - interval '8 days'
    FROM generate_series(1, %s)
    """,
    """
    INSERT INTO saga_barriers (saga_id, branch, state, create_time)
    SELECT gen_random_uuid(), 'DebitWallet', 'DONE', now() - interval '8 days'
    FROM generate_series(1, %s)
    """,
    """
    INSERT INTO idempotency (scope, method, key_hmac, fingerprint, expire_time)
    SELECT 'user:' || i, 'PlaceOrder', int8send(i), '', now() - interval '1 minute'
    FROM generate_series(1, %s) AS i
    """,
)
REMOVE = (
    "DELETE FROM sagas WHERE state = 'DONE' AND update_time < now() - interval '7 days'",
    "DELETE FROM saga_barriers WHERE coalesce(not_after, create_time) < now() - interval '7 days'",
    "DELETE FROM idempotency WHERE expire_time < now()",
)


async def cleanup(lab: Lab) -> list[Finding]:
    """Clean up Commerce's tables, empty ones and ones of 200,000 rows."""
    async with lab.running(**CHEAP):
        lab.say(f"filling tables with {full.ROWS:,} rows")
        empty_url, full_url = await asyncio.to_thread(_databases, lab.stack.home / "postgres")
        empty_database, full_database = (
            Database(url, name="bench", connections=1) for url in (empty_url, full_url)
        )
        # The rounds log what they removed, in the middle of the table of findings.
        with structlog.testing.capture_logs():
            async with opened(empty_database, full_database):
                full_cleaner = Cleaner(full_database, CLEANUPS)
                await full_cleaner.sweep()
                return [
                    await _nothing_due(lab, Cleaner(empty_database, CLEANUPS), full_cleaner),
                    await _much_due(lab, full_cleaner, full_url),
                ]


async def _nothing_due(lab: Lab, empty: Cleaner, filled: Cleaner) -> Finding:
    lab.say("rounds with nothing due")

    calls = 20 if lab.is_quick else 100
    yardstick, median = await medians([empty.sweep, filled.sweep], calls)
    measured = f"{median:.1f} ms; empty tables {yardstick:.1f} ms"
    figure = f"a round with nothing due in tables of {full.ROWS:,} rows"
    return at_most("cleanup", figure, measured, Ratio([median / yardstick]), FLAT)


async def _much_due(lab: Lab, filled: Cleaner, url: str) -> Finding:
    """Remove rows by rounds of the cleaner and by one statement a table, in turns."""
    rounds, number = (2, QUICK_DUE) if lab.is_quick else (5, DUE)
    total = number * len(ADD)
    rates, yardsticks = [], []
    for turn in range(rounds):
        lab.say(f"rounds with much due, {turn + 1} of {rounds}")
        await asyncio.to_thread(_run, url, ADD, number)
        began = time.perf_counter()
        assert await filled.sweep() == total
        rates.append(total / (time.perf_counter() - began))
        await asyncio.to_thread(_run, url, ADD, number)
        yardsticks.append(total / await asyncio.to_thread(_run, url, REMOVE))
    measured = (
        f"{statistics.median(rates):.0f} rows/s; "
        f"one statement a table {statistics.median(yardsticks):.0f} rows/s"
    )
    figure = f"rows removed from tables of {full.ROWS:,} rows"
    return at_least("cleanup", figure, measured, Ratio.of(rates, yardsticks), SHARE)


def _databases(postgres: Path) -> tuple[str, str]:
    """Make a database with empty tables and one with full ones; return their URLs."""
    names = ("emptydb", "fulldb")
    create_databases(embedded_url(postgres, "postgres"), names)
    empty_url, full_url = (embedded_url(postgres, name) for name in names)
    for url in (empty_url, full_url):
        upgrade(url, ROOT / "services" / "commerce" / "migrations")
    full.fill(full_url, "commerce")
    return empty_url, full_url


def _run(url: str, statements: Sequence[str], *values: int) -> float:
    """Run statements, each in a transaction of its own; return how many seconds they took."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        began = time.perf_counter()
        for statement in statements:
            connection.execute(statement.encode(), values)
        return time.perf_counter() - began
