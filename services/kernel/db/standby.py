"""Reads that leave the primary: at a standby that is known to be no further behind than allowed.

No clock of a server is asked. The process remembers where the primary's log ended, and when it
asked. A standby that has replayed up to there shows everything of that moment.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import psycopg
import structlog
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from sqlalchemy import BigInteger, literal_column, select

from services.kernel.db.connection import Connection
from services.kernel.db.database import Database, Reader
from services.kernel.db.limits import LIMITS
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.errors import DatabaseUnavailable
from services.kernel.tasks import BackgroundTask
from services.kernel.telemetry.metrics import create_counter

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

# A read that the standby does not answer in this time is made at the primary.
STANDBY_LIMITS: Final = replace(
    LIMITS, statement_seconds=0.5, margin_seconds=0.5, turn_seconds=0.25
)
LEFT_SECONDS: Final = 5.0
OUTCOME: Final = "lockstep.outcome"
OUTCOMES: Final = ("answered", "missing", "away", "behind")
MARKS_A_BOUND: Final = 8

log = structlog.get_logger("lockstep.standby")


@dataclass(frozen=True, slots=True)
class LogEnd:
    """A place in the log of a PostgreSQL cluster, in bytes."""

    bytes: int


# A standby that was promoted is a primary.
LOG_END: Final = Statement(
    select(
        literal_column(
            "(CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0')"
            " ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint",
            BigInteger,
        ).label("bytes")
    ),
    NoParameters,
    LogEnd,
)


class Behind(DatabaseUnavailable):
    """The standby is further behind than a read may be."""


class Marks(BackgroundTask):
    """Remembers where the log of the primary ended, a few times within the bound.

    Args:
        primary: The primary.
        behind_seconds: How far a read may be behind.
    """

    def __init__(self, primary: Database, behind_seconds: float) -> None:
        super().__init__(self._run, name="marks")
        self.behind_seconds: Final = behind_seconds
        self._primary = primary
        self._marks: deque[tuple[float, int]] = deque(maxlen=2 * MARKS_A_BOUND)

    async def mark(self) -> None:
        """Ask the primary once. The moment is that before the question."""
        moment = time.monotonic()
        try:
            found = await self._primary.first(LOG_END, NoParameters())
        except DatabaseUnavailable:
            return  # nothing is known then, and nothing is read at the standby
        assert found is not None
        self._marks.append((moment, found.bytes))

    def moment_of(self, position: LogEnd) -> float | None:
        """Return the newest moment of which a server at this position shows everything."""
        for moment, end in reversed(self._marks):
            if end <= position.bytes:
                return moment
        return None

    async def _run(self) -> None:
        while True:
            await self.mark()
            await asyncio.sleep(self.behind_seconds / MARKS_A_BOUND)


class Standby(Database):
    """The pool of connections to standbys; each of them may lead to another one.

    Args:
        url: The URL, as for `Database`, and so are all further arguments.
        marks: Knows how far a server is behind.
    """

    def __init__(self, url: str, *, marks: Marks, **more: Any) -> None:
        super().__init__(url, limits=STANDBY_LIMITS, **more)
        self.marks: Final = marks
        self._newest = time.monotonic()

    @property
    def behind_seconds(self) -> float:
        """How far the freshest server may be behind, as far as this process knows."""
        return time.monotonic() - self._newest

    async def _repeated(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await attempt()  # the primary is the second try

    async def _borrow(self) -> Connection:
        """Lend a connection to a server that is fresh enough.

        Raises:
            Behind: The server lags.
            DatabaseUnavailable: It does not answer.
        """
        connection = await super()._borrow()
        try:
            await self._prove(connection)
        except BaseException:
            await asyncio.shield(self._pool.putconn(connection))
            raise
        return connection

    async def _prove(self, connection: Connection) -> None:
        """Ask the server how far it is, unless what it was known to show is new enough."""
        oldest = time.monotonic() - self.marks.behind_seconds
        if connection.shows_moment >= oldest:
            return
        try:
            found = await (await LOG_END.run(connection, NoParameters())).fetchone()
        except psycopg.Error as error:
            await self._fail(connection, error)
        assert found is not None
        moment = self.marks.moment_of(found)
        if moment is None or moment < oldest:
            raise Behind
        connection.shows_moment = moment
        self._newest = max(self._newest, moment)


class NearbyReader:
    """Reads at a standby, and at the primary whatever the standby cannot answer.

    Args:
        standby: The standby.
        primary: The primary.
        meter: Creates the metrics.
    """

    def __init__(self, standby: Standby, primary: Reader, meter: Meter) -> None:
        self._standby = standby
        self._primary = primary
        self._left_until = 0.0
        self._reads = create_counter(
            meter,
            "lockstep.standby.reads",
            unit="{read}",
            description="Reads meant for a standby, by what became of them",
            attributes=[{OUTCOME: each} for each in OUTCOMES],
        )
        meter.create_observable_gauge(
            "lockstep.standby.behind",
            callbacks=[self._observe],
            unit="s",
            description="How far the freshest standby may be behind the primary",
        )

    async def all(self, statement: Statement[A, B], parameters: A, /) -> list[B]:
        """Return every row."""
        found = await self._near(statement, parameters)
        if found is None:
            return await self._primary.all(statement, parameters)
        self._count("answered")
        return found

    async def first(self, statement: Statement[A, B], parameters: A, /) -> B | None:
        """Return the first row, or None. What the standby lacks may be new, so both are asked."""
        found = await self._near(statement, parameters)
        if found is not None:
            self._count("answered" if found else "missing")
        if found:
            return found[0]
        return await self._primary.first(statement, parameters)

    async def _near(self, statement: Statement[A, B], parameters: A) -> list[B] | None:
        """Read at the standby; None: it cannot answer."""
        if time.monotonic() < self._left_until:
            self._count("away")
            return None
        try:
            return await self._standby.all(statement, parameters)
        except (DatabaseUnavailable, psycopg.ProgrammingError) as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise  # the primary would not answer in time either
            if _is_behind(error):
                self._count("behind")
            else:
                self._leave(error)
            return None

    def _leave(self, error: Exception) -> None:
        """Ask the standby nothing for a while: a caller has waited for it."""
        self._left_until = time.monotonic() + LEFT_SECONDS
        self._count("away")
        log.warning("standby left", error=type(error).__name__, seconds=LEFT_SECONDS)

    def _count(self, outcome: str) -> None:
        self._reads.add(1, {OUTCOME: outcome})

    def _observe(self, _options: CallbackOptions) -> list[Observation]:
        return [Observation(self._standby.behind_seconds)]


def _is_behind(error: Exception) -> bool:
    """Tell whether a standby works, and only this read must be made elsewhere.

    It lags, it has not seen a migration yet, or what it replays is in the way of the read.
    """
    return isinstance(error, Behind | psycopg.ProgrammingError) or isinstance(
        error.__cause__, psycopg.errors.SerializationFailure
    )
