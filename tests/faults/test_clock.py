"""The virtual clock of the schedules."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.connection import Connection
from tests.faults.clock import VirtualLoop, count_statements


class Deaf(Connection):
    """A connection to a server that ends no statement before its time."""

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - psycopg's
        pass


@pytest.mark.parametrize("watched_seconds", [0.0, 60.0])
def test_the_clock_stands_still_until_a_statement_that_was_left_has_ended(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, watched_seconds: float
) -> None:
    monkeypatch.setattr("services.kernel.db.connection.WATCHED_SECONDS", watched_seconds)
    loop = VirtualLoop()

    async def leave() -> None:
        url = postgres.url("postgres")
        async with await Deaf.connect(url, autocommit=True) as connection:
            began = loop.time()
            statement = asyncio.create_task(connection.execute(b"SELECT pg_sleep(0.3)"))
            await asyncio.sleep(0)  # it is sent
            statement.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await statement
            assert loop.time() == began
            assert not connection.closed

    restore = count_statements(loop)
    try:
        loop.run_until_complete(leave())
    finally:
        restore()
        loop.close()
