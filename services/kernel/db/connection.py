"""A connection to PostgreSQL on which every wait has an end."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import AsyncRowFactory, tuple_row

from services.kernel.db.limits import LIMITS

T = TypeVar("T")


class NoAnswer(psycopg.OperationalError):
    """The server stayed silent, so that the client has finished the connection."""


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that is finished when the server stays silent.

    The server's time limits bind the server alone. A proxy that hangs, a frozen server and
    a COMMIT that waits for its standby are just silent, so the client has a limit, too.

    Attributes:
        answer_seconds: The time for BEGIN, for each statement, for COMMIT and for ROLLBACK.
        generation: The number of times that its pool had been renewed when it was made.
        shows_moment: The moment, on the clock of `time.monotonic`, of which the server of a
            standby's connection is known to show everything.
        cursors: The cursor of each statement that ran here. A cursor that runs the same
            statement again knows how to write its parameters and how to read its rows.
    """

    def __init__(self, pgconn: PGconn, row_factory: AsyncRowFactory[Any] = tuple_row) -> None:
        """Take over what libpq has connected."""
        super().__init__(pgconn, row_factory)
        self.answer_seconds = LIMITS.answer_seconds
        self.generation = 0
        self.shows_moment = -math.inf
        self.cursors: dict[object, psycopg.AsyncCursor[Any]] = {}

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109 - psycopg's
        """Let psycopg talk to the server until it has the answer.

        Raises:
            NoAnswer: The server stayed silent.
            psycopg.Error: The server refused or left.
        """
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(gen, interval, self.answer_seconds)
        except psycopg.OperationalError as error:
            if error.sqlstate is not None:
                raise
            # The server did not say this. Its answer may still come, and nobody may take it
            # for the answer to a later statement.
            is_silent = self.pgconn.status == ConnStatus.OK
            self.pgconn.finish()
            if is_silent:
                raise NoAnswer(f"no answer in {self.answer_seconds} seconds") from error
            raise

    async def command(self, text: bytes) -> bytes | None:
        """Run BEGIN or COMMIT, at half of what a cursor takes for it, and return its tag.

        Not for ROLLBACK: a cursor knows what to forget after it.

        Raises:
            psycopg.Error: It failed.
        """
        async with self.lock:
            self.pgconn.send_query(text)
            results: list[PGresult] = await self.wait(generators.execute(self.pgconn))
        result = results[-1]
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
        return result.command_status
