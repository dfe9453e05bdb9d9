"""A connection to PostgreSQL on which every wait has an end."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, TypeVar

import psycopg
from psycopg import generators, waiting
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import AsyncRowFactory, tuple_row
from psycopg.waiting import Ready, Wait

from services.kernel.db.limits import LIMITS
from services.kernel.db.watch import SocketWatch

T = TypeVar("T")

# How long an answer is awaited at the watch. psycopg awaits what takes longer.
WATCHED_SECONDS = 0.1
# The server has so long to take the request to cancel, and again to end the statement.
CANCEL_SECONDS = 5.0


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
        self._watch = SocketWatch()

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109 - psycopg's
        """Let psycopg talk to the server until it has the answer.

        Raises:
            NoAnswer: The server stayed silent.
            psycopg.Error: The server refused or left.
        """
        if timeout is not None:
            self._watch.end()
            return await super().wait(gen, interval, timeout)
        try:
            return await self._answer(gen, interval)
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

    async def close(self) -> None:
        """Close the connection."""
        self._watch.end()  # before another file gets the number of the socket
        await super().close()

    async def _answer(self, gen: PQGen[T], interval: float) -> T:
        """Wait at the watch, where nearly all answers come, and then as psycopg does.

        psycopg knows what to do about an answer that is late, and about a statement that is too
        long to be sent at once. It goes on with the generator.
        """
        began = time.monotonic()
        state: Wait | None = None
        try:
            state = next(gen)
            while state == Wait.R and (left := began + WATCHED_SECONDS - time.monotonic()) > 0:
                if not await self._watch.is_readable(self.pgconn.socket, left):
                    break
                state = gen.send(Ready.R)
        except StopIteration as end:
            if state is None:
                await asyncio.sleep(0)  # COPY may do this often, and others need their turn
            if self.pgconn.status != ConnStatus.OK:
                self._watch.end()  # libpq has closed the socket
            answer: T = end.value
            return answer
        except asyncio.CancelledError:
            assert state is not None
            await self._give_up(_rest(gen, state))
            raise
        except BaseException:
            self._watch.end()
            raise
        self._watch.end()
        left = max(0.0, began + self.answer_seconds - time.monotonic())
        return await super().wait(_rest(gen, state), interval, left)

    async def _give_up(self, gen: PQGen[Any]) -> None:
        """End the statement of a caller who has left, as psycopg does, or else the connection."""
        self._watch.end()
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            await self.cancel_safe(timeout=CANCEL_SECONDS)
            await waiting.wait_async(gen, self.pgconn.socket, interval=0.1, timeout=CANCEL_SECONDS)
        except psycopg.errors.QueryCanceled:
            pass
        except Exception:  # noqa: BLE001 - any error leaves open what the server does
            self.pgconn.finish()
        except BaseException:  # the caller has left once more
            self.pgconn.finish()
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


def _rest(gen: PQGen[T], state: Wait) -> PQGen[T]:
    """Continue a generator that has said what it waits for."""
    while True:
        ready = yield state
        try:
            state = gen.send(ready)
        except StopIteration as end:
            answer: T = end.value
            return answer
