from __future__ import annotations

import asyncio
from dataclasses import dataclass

import psycopg
import pytest
from sqlalchemy import Table, select
from structlog.testing import capture_logs

from services.kernel.db import cleaner, tables
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.errors import DatabaseUnavailable
from services.kernel.ids import new_id

CLEANUPS = (cleaner.ENDED_SAGAS, cleaner.OLD_BARRIERS, cleaner.OLD_KEYS)


@dataclass(frozen=True, slots=True)
class Left:
    value: str


async def run(url: str, statement: str, *values: object) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(statement.encode(), values)


async def saga(url: str, state: str, *, age: str, parked: bool = False, rows: int = 1) -> None:
    await run(
        url,
        """INSERT INTO sagas (id, kind, state, payload, next_run_at, parked_at, update_time)
        SELECT gen_random_uuid(), %s, %s, '{}', saga_now(), CASE WHEN %s THEN saga_now() END,
          saga_now() - %s::interval
        FROM generate_series(1, %s)""",
        f"{state} {age}",
        state,
        parked,
        age,
        rows,
    )


async def barrier(url: str, branch: str, *, age: str, not_after: str | None) -> None:
    await run(
        url,
        """INSERT INTO saga_barriers (saga_id, branch, state, not_after, create_time)
        VALUES (%s, %s, 'DONE', saga_now() - %s::interval, saga_now() - %s::interval)""",
        new_id(),
        branch,
        not_after,
        age,
    )


async def key(url: str, scope: str, *, left: str) -> None:
    await run(
        url,
        """INSERT INTO idempotency (scope, method, key_hmac, fingerprint, expire_time)
        VALUES (%s, 'Open', '', '', saga_now() + %s::interval)""",
        scope,
        left,
    )


async def until_blocked(url: str) -> None:
    """Wait until a statement waits for a lock."""
    query = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with (
        asyncio.timeout(10),
        await psycopg.AsyncConnection.connect(url, autocommit=True) as look,
    ):
        while await (await look.execute(query)).fetchone() is None:
            pass  # every look asks the database, which lets the sweep run


async def left(database: Database, table: Table, column: str) -> set[str]:
    statement = Statement(select(table.c[column].label("value")), NoParameters, Left)
    return {row.value for row in await database.all(statement, NoParameters())}


async def test_only_sagas_that_ended_more_than_a_week_ago_go(
    database: Database, kernel_url: str
) -> None:
    for state in ("RUNNING", "COMPENSATING", "DONE", "ABORTED"):
        await saga(kernel_url, state, age="8 days")
        await saga(kernel_url, state, age="6 days")
    assert await Cleaner(database, CLEANUPS).sweep() == 2
    assert await left(database, tables.SAGAS, "kind") == {
        "RUNNING 8 days",
        "RUNNING 6 days",
        "COMPENSATING 8 days",
        "COMPENSATING 6 days",
        "DONE 6 days",
        "ABORTED 6 days",
    }


async def test_a_parked_saga_stays_until_somebody_has_looked(
    database: Database, kernel_url: str
) -> None:
    await saga(kernel_url, "COMPENSATING", age="90 days", parked=True)
    assert await Cleaner(database, CLEANUPS).sweep() == 0


async def test_barriers_go_a_week_after_their_saga_can_send_anything(
    database: Database, kernel_url: str
) -> None:
    await barrier(kernel_url, "late", age="8 days", not_after="8 days")
    await barrier(kernel_url, "long saga", age="8 days", not_after="6 days")
    await barrier(kernel_url, "tombstone", age="8 days", not_after=None)
    await barrier(kernel_url, "new tombstone", age="6 days", not_after=None)
    assert await Cleaner(database, CLEANUPS).sweep() == 2
    assert await left(database, tables.SAGA_BARRIERS, "branch") == {"long saga", "new tombstone"}


async def test_keys_go_when_they_expire(database: Database, kernel_url: str) -> None:
    await key(kernel_url, "old", left="-1 minute")
    await key(kernel_url, "new", left="1 minute")
    assert await Cleaner(database, CLEANUPS).sweep() == 1
    assert await left(database, tables.IDEMPOTENCY, "scope") == {"new"}


async def test_each_transaction_removes_a_bounded_number_of_rows(
    kernel_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "ROWS_AT_ONCE", 10)
    edges: list[str] = []

    async def note(edge: str) -> None:
        edges.append(edge)

    await saga(kernel_url, "DONE", age="8 days", rows=25)
    database = Database(kernel_url, name="kernel", connections=1, observer=note)
    await database.open()
    assert await Cleaner(database, [cleaner.ENDED_SAGAS]).sweep() == 25
    await database.close()
    commits = [edge for edge in edges if edge.endswith("commit.acked")]
    assert len(commits) in (3, 4)


async def test_a_sweep_ends_although_more_rows_come_due_meanwhile(kernel_url: str) -> None:
    async def expire(edge: str) -> None:
        if edge.endswith("commit.acked"):
            await key(kernel_url, f"another {new_id()}", left="-1 minute")

    database = Database(kernel_url, name="kernel", connections=1, observer=expire)
    await database.open()
    await key(kernel_url, "old", left="-1 minute")
    async with asyncio.timeout(10):
        assert await Cleaner(database, CLEANUPS).sweep() == 3  # each clean-up commits once
    await database.close()


async def test_a_clean_up_that_fails_is_named_and_stops_no_other(
    database: Database, kernel_url: str
) -> None:
    await key(kernel_url, "old", left="-1 minute")
    await saga(kernel_url, "DONE", age="8 days", rows=2)
    await run(kernel_url, "ALTER TABLE saga_barriers RENAME TO hidden")
    with capture_logs() as logs:
        assert await Cleaner(database, CLEANUPS).sweep() == 3
    assert [(each["event"], each.get("cleanup")) for each in logs] == [
        ("could not sweep", "barriers"),
        ("swept", None),
    ]
    assert logs[-1]["rows"] == 3
    assert logs[-1]["removed"] == {"sagas": 2, "idempotency keys": 1}


async def test_a_database_that_does_not_answer_is_no_error(kernel_url: str) -> None:
    async def fail(edge: str) -> None:
        raise DatabaseUnavailable

    database = Database(kernel_url, name="kernel", connections=1, observer=fail)
    await database.open()
    with capture_logs() as logs:
        assert await Cleaner(database, [cleaner.OLD_KEYS]).sweep() == 0
    await database.close()
    assert [each["log_level"] for each in logs] == ["warning", "info"]


async def test_a_row_that_changes_before_it_can_be_locked_stays(
    database: Database, kernel_url: str
) -> None:
    await key(kernel_url, "taken again", left="-1 minute")
    async with await psycopg.AsyncConnection.connect(kernel_url) as holder:
        await holder.execute("UPDATE idempotency SET expire_time = saga_now() + interval '1 day'")
        sweeping = asyncio.ensure_future(Cleaner(database, CLEANUPS).sweep())
        await until_blocked(kernel_url)
    assert await sweeping == 0
    assert await left(database, tables.IDEMPOTENCY, "scope") == {"taken again"}


async def test_a_round_comes_by_itself_and_a_failed_one_ends_nothing(
    kernel_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "EVERY_SECONDS", 0.01)
    rounds = 0
    second_round = asyncio.Event()

    async def count(edge: str) -> None:
        nonlocal rounds
        if edge == "kernel.sweep.statement#1":
            rounds += 1
            if rounds > 1:
                second_round.set()

    database = Database(kernel_url, name="kernel", connections=2, observer=count)
    await database.open()
    await key(kernel_url, "old", left="-1 minute")
    await run(kernel_url, "ALTER TABLE idempotency RENAME TO hidden")
    cleaning = Cleaner(database, [cleaner.OLD_KEYS])
    cleaning.start()
    await asyncio.wait_for(second_round.wait(), 10)  # so the first has failed
    await run(kernel_url, "ALTER TABLE hidden RENAME TO idempotency")
    while await left(database, tables.IDEMPOTENCY, "scope"):
        pass  # each look awaits the database, so the cleaner runs
    await cleaning.stop()
    await database.close()


async def test_stopping_one_that_never_started_is_fine(database: Database) -> None:
    await Cleaner(database, CLEANUPS).stop()
