"""Time limits that an administrator sets: no call hangs, none is INTERNAL, none tells a lie."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from time import monotonic

import psycopg
import pytest
from sqlalchemy import func, literal, select

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.database import Database, Transaction
from services.kernel.db.limits import TimeLimits
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.errors import CommitUnknown, DatabaseUnavailable
from tests.kernel.rows import HAS, INSERT, RowId, count, fill
from tests.postgres import fresh_database

LIMITS = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
]
LIMIT = "200ms"
BUSY_SECONDS = 0.5
BOUND_SECONDS = 15.0
# A row that somebody else holds, and numbers above which a row makes COMMIT slow.
LOCKED, SLOW, WAITING = 0, 1_000_000, 2_000_000
LOCK = f"SELECT FROM rows WHERE id = {LOCKED} FOR UPDATE"
PREPARE = f"""
CREATE FUNCTION finish() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.id > {WAITING} THEN PERFORM FROM rows WHERE id = {LOCKED} FOR UPDATE;
  ELSIF NEW.id > {SLOW} THEN PERFORM pg_sleep({BUSY_SECONDS});
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER finish AFTER INSERT ON rows DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION finish();
INSERT INTO rows VALUES ({LOCKED}, 0)
"""

Outcomes = dict[str, str]
Use = Callable[["Place"], Awaitable[str]]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Slept:
    slept: str


SLEEP = Statement(select(func.pg_sleep(literal(BUSY_SECONDS)).label("slept")), NoParameters, Slept)


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database in which somebody holds a row."""
    with fresh_database(postgres) as made:
        fill(made)
        with psycopg.connect(made) as holder:
            holder.execute(PREPARE.encode())
            holder.commit()
            holder.execute(LOCK.encode())
            yield made


class Place:
    """A pool whose sessions have a time limit.

    Args:
        url: Its database.
        limit: The limit.
        rests_before_commit: Whether every COMMIT comes late.
    """

    def __init__(self, url: str, limit: str, *, rests_before_commit: bool = False) -> None:
        self.number = next(_numbers)
        self.url = url
        self.session = f"place-{self.number}"
        self.rests_before_commit = rests_before_commit
        self.database = Database(
            url,
            name="test",
            connections=2,
            options=f"-c {limit}={LIMIT} -c application_name={self.session}",
            limits=TimeLimits(lock_seconds=BUSY_SECONDS),
            observer=self._observe,
        )

    async def _observe(self, edge: str) -> None:
        if self.rests_before_commit and edge.endswith("commit.sent"):
            await self.rest()

    async def rest(self) -> None:
        """Do nothing until the server has ended the sessions, or for longer than its limit."""
        until = monotonic() + BUSY_SECONDS
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as other:
            while monotonic() < until:
                await asyncio.sleep(0.01)
                cursor = await other.execute(
                    "SELECT FROM pg_stat_activity WHERE application_name = %s", [self.session]
                )
                if not cursor.rowcount:
                    return

    async def read(self) -> str:
        return await outcome_of(count(self.database))

    async def write(
        self, *steps: Callable[[Transaction], Awaitable[object]], above: int = 0
    ) -> str:
        """Insert a row and do more; what a caller is told has to be what has happened."""
        number = above + self.number

        async def work(tx: Transaction) -> None:
            await tx.execute(INSERT, RowId(number))
            for step in steps:
                await step(tx)
            [found] = await tx.all(HAS, RowId(number))
            assert found.total == 1

        outcome = await outcome_of(self.database.transact("write", work))
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as other:
            cursor = await other.execute("SELECT FROM rows WHERE id = %s", [number])
            assert (outcome, cursor.rowcount) not in {("right", 0), ("not committed", 1)}
        return outcome


async def outcome_of(call: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            await call
    except CommitUnknown:
        return "unknown"
    except DatabaseUnavailable:
        return "not committed"
    return "right"


async def under_every_limit(url: str, use: Use, *, rests_before_commit: bool = False) -> Outcomes:
    """Do the same under each limit, and read afterwards."""

    async def play(limit: str) -> str:
        place = Place(url, limit, rests_before_commit=rests_before_commit)
        await place.database.open()
        try:
            outcome = await use(place)
            assert await place.read() == "right", limit
            return outcome
        finally:
            await place.database.close()

    return dict(zip(LIMITS, await asyncio.gather(*map(play, LIMITS)), strict=True))


def told(outcome: str, *limits: str) -> Outcomes:
    """All is right under the other limits."""
    return dict.fromkeys(LIMITS, "right") | dict.fromkeys(limits, outcome)


async def test_connections_at_rest(url: str) -> None:
    async def use(place: Place) -> str:
        assert await place.read() == "right"
        await place.rest()
        assert await place.read() == "right"
        await place.rest()
        return await place.write()

    assert await under_every_limit(url, use) == told("right")


async def test_a_read_that_takes_too_long(url: str) -> None:
    async def use(place: Place) -> str:
        return await outcome_of(place.database.all(SLEEP, NoParameters()))

    expected = told("not committed", "statement_timeout", "transaction_timeout")
    assert await under_every_limit(url, use) == expected


async def test_a_transaction_that_takes_too_long(url: str) -> None:
    async def use(place: Place) -> str:
        return await place.write(lambda tx: tx.all(SLEEP, NoParameters()))

    expected = told("not committed", "statement_timeout", "transaction_timeout")
    assert await under_every_limit(url, use) == expected


async def test_a_transaction_that_waits_for_a_lock(url: str) -> None:
    async def use(place: Place) -> str:
        return await place.write(lambda tx: tx.connection.execute(LOCK.encode()))

    assert await under_every_limit(url, use) == told("not committed", *LIMITS)


async def test_a_transaction_that_rests_once(url: str) -> None:
    async def use(place: Place) -> str:
        tries = itertools.count()

        async def rest_once(_: Transaction) -> None:
            if not next(tries):
                await place.rest()

        return await place.write(rest_once)

    assert await under_every_limit(url, use) == told("right")


async def test_a_transaction_that_always_rests(url: str) -> None:
    async def use(place: Place) -> str:
        return await place.write(lambda _: place.rest())

    expected = told("not committed", "idle_in_transaction_session_timeout", "transaction_timeout")
    assert await under_every_limit(url, use) == expected


async def test_a_commit_that_comes_late(url: str) -> None:
    expected = told("unknown", "idle_in_transaction_session_timeout", "transaction_timeout")
    assert await under_every_limit(url, Place.write, rests_before_commit=True) == expected


async def test_a_commit_that_takes_too_long(url: str) -> None:
    """No `statement_timeout` ends a COMMIT."""

    async def use(place: Place) -> str:
        return await place.write(above=SLOW)

    assert await under_every_limit(url, use) == told("unknown", "transaction_timeout")


async def test_a_commit_that_waits_for_a_lock(url: str) -> None:
    async def use(place: Place) -> str:
        return await place.write(above=WAITING)

    assert await under_every_limit(url, use) == told("unknown", *LIMITS)
