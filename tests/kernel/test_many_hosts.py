"""A URL with several hosts, while the primary moves from one to another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DatabaseUnavailable
from tests.kernel.rows import INSERT, RowId, fill
from tests.tcp_postgres import TcpPostgres

CONNECTIONS = 3


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[TcpPostgres]]:
    with contextlib.ExitStack() as stack:
        made = [TcpPostgres(tmp_path_factory.mktemp("hosts") / name) for name in ("a", "b")]
        for each in made:
            stack.callback(each.destroy)
            each.start()
            fill(each.url("postgres"))
        yield made


def rows(server: TcpPostgres) -> list[int]:
    with psycopg.connect(server.url("postgres")) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM rows ORDER BY id")]


async def test_a_service_leaves_a_server_that_takes_no_more_writes(
    servers: list[TcpPostgres],
) -> None:
    """[25006]"""
    first, second = servers
    url = (
        f"postgresql://lockstep@127.0.0.1:{first.port},127.0.0.1:{second.port}/postgres"
        "?target_session_attrs=read-write"
    )
    database = Database(url, name="test", connections=CONNECTIONS)
    await database.open()

    async def write(number: int) -> None:
        async def work(tx: Transaction) -> None:
            await tx.execute(INSERT, RowId(number))

        await database.transact("write", work)

    try:
        await asyncio.gather(*(write(number) for number in range(CONNECTIONS)))
        assert rows(first) == list(range(CONNECTIONS))

        first.refuse_writes()
        # Each connection finds out once.
        refused = 0
        async with asyncio.timeout(20):
            while 100 not in rows(second):
                try:
                    await write(100)
                except DatabaseUnavailable:
                    refused += 1
        assert refused <= CONNECTIONS
        await asyncio.gather(*(write(number) for number in range(200, 200 + CONNECTIONS)))
        assert rows(first) == list(range(CONNECTIONS))
        assert rows(second) == [100, *range(200, 200 + CONNECTIONS)]
    finally:
        await database.close()
