"""Events get consecutive numbers once they are committed, and each subject keeps its order."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from uuid import UUID

import psycopg
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database, Transaction
from services.kernel.events import store
from services.kernel.events.sequencer import NUMBERED_AT_ONCE, Sequencer, event_survey
from services.kernel.events.store import OLD_EVENTS, EventRow
from services.kernel.events.writer import Fact, tell
from services.kernel.ids import new_id
from services.kernel.telemetry.metrics import NO_METER
from tests.conftest import Databases


async def write(database: Database, *texts: str, saga_id: UUID | None = None) -> None:
    facts = [Fact(f"things/{text[0]}", StringValue(value=text)) for text in texts]

    async def work(tx: Transaction) -> None:
        await tell(tx, *facts, saga_id=saga_id)

    await database.transact("change", work)


async def told(database: Database) -> list[EventRow]:
    return await store.list_events(database, after=0, upto=10**9, limit=10**6)


async def texts_of(database: Database) -> list[str]:
    return [StringValue.FromString(row.payload).value for row in await told(database)]


async def sequenced(database: Database) -> None:
    while await Sequencer(database).sequence():
        pass


async def test_an_event_gets_its_number_after_the_commit_and_has_its_facts(
    database: Database,
) -> None:
    saga_id = new_id()
    await write(database, "a1", saga_id=saga_id)
    assert await told(database) == []
    assert await Sequencer(database).sequence() == 1
    [row] = await told(database)
    assert (row.sequence, row.type, row.subject, row.saga_id) == (
        1,
        "google.protobuf.StringValue",
        "things/a",
        saga_id,
    )
    assert await store.get_head(database) == 1


async def test_a_change_that_fails_tells_nothing(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tell(tx, Fact("things/a", StringValue(value="a1")))
        raise KeyError

    with pytest.raises(KeyError):
        await database.transact("change", work)
    await write(database, "b1")
    await sequenced(database)
    assert await texts_of(database) == ["b1"]
    assert [row.sequence for row in await told(database)] == [1]  # although a place was lost


async def test_what_a_transaction_tells_keeps_its_order_also_of_one_subject(
    database: Database,
) -> None:
    texts = [f"{'ab'[number % 2]}{number}" for number in range(100)]
    await write(database, *texts)
    await sequenced(database)
    assert await texts_of(database) == texts


async def test_a_transaction_without_facts_writes_nothing(database: Database) -> None:
    await write(database)
    assert await Sequencer(database).sequence() == 0


async def test_a_transaction_that_tells_twice_is_found(
    database: Database, told_twice: list[list[str]]
) -> None:
    async def work(tx: Transaction) -> None:
        await tell(tx, Fact("things/a", StringValue(value="a1")))
        await tell(tx, Fact("things/b", StringValue(value="b1")))

    await database.transact("change", work)
    assert told_twice == [["google.protobuf.StringValue"]]
    told_twice.clear()


async def test_a_repeat_of_a_saga_writes_its_event_once(database: Database) -> None:
    saga_id = new_id()
    await write(database, "a1", saga_id=saga_id)
    await sequenced(database)
    await write(database, "a1", saga_id=saga_id)
    await write(database, "b1", saga_id=saga_id)  # of another subject
    await sequenced(database)
    assert await texts_of(database) == ["a1", "b1"]


async def test_a_late_commit_gets_a_later_number_and_no_number_is_left_out(
    database: Database,
) -> None:
    has_written, may_commit = asyncio.Event(), asyncio.Event()

    async def late(tx: Transaction) -> None:
        await tell(tx, Fact("things/z", StringValue(value="z1")))
        has_written.set()
        await may_commit.wait()

    task = asyncio.create_task(database.transact("change", late))
    await has_written.wait()
    await write(database, "a1", "b1")
    await sequenced(database)
    assert await texts_of(database) == ["a1", "b1"]
    may_commit.set()
    await task
    await sequenced(database)
    assert await texts_of(database) == ["a1", "b1", "z1"]
    assert [row.sequence for row in await told(database)] == [1, 2, 3]


async def test_one_sequencer_works_at_a_time_and_the_next_goes_on(database: Database) -> None:
    await write(database, "a1")

    async def held(tx: Transaction) -> None:
        assert await store.lock_head(tx) == 0
        assert await Sequencer(database).sequence() == 0  # at once, and not after the lock
        assert await store.number(tx, head=0, limit=1) == 1
        raise KeyError  # the process leaves

    with pytest.raises(KeyError):
        await database.transact("sequence", held)
    assert await told(database) == []
    await sequenced(database)
    assert [row.sequence for row in await told(database)] == [1]


async def test_many_writers_and_sequencers_leave_no_gap_and_keep_each_subjects_order(
    database: Database,
) -> None:
    writers, changes = "abcdef", 20

    async def change(name: str) -> None:
        for number in range(changes):
            await write(database, f"{name}{number}")

    async def work(is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            await Sequencer(database).sequence()

    is_over = asyncio.Event()
    workers = [asyncio.create_task(work(is_over)) for _ in range(3)]
    await asyncio.gather(*(change(name) for name in writers))
    is_over.set()
    await asyncio.gather(*workers)
    await sequenced(database)
    rows = await told(database)
    assert [row.sequence for row in rows] == list(range(1, len(writers) * changes + 1))
    texts = await texts_of(database)
    for name in writers:
        of_one = [text for text in texts if text[0] == name]
        assert of_one == [f"{name}{number}" for number in range(changes)]


async def test_more_events_than_a_batch_are_numbered_in_their_order(database: Database) -> None:
    texts = [f"a{number}" for number in range(NUMBERED_AT_ONCE + 1)]
    await write(database, *texts)
    assert await Sequencer(database).sequence() == NUMBERED_AT_ONCE
    assert await Sequencer(database).sequence() == 1
    assert await texts_of(database) == texts


async def test_pages_are_of_types_of_a_subject_and_up_to_a_number(database: Database) -> None:
    await write(database, "a1", "b1", "a2", "b2")
    await sequenced(database)

    async def numbers(
        *, types: tuple[str, ...] = (), subject: str = "", upto: int = 9
    ) -> list[int]:
        rows = await store.list_events(
            database, after=1, upto=upto, types=types, subject=subject, limit=9
        )
        return [row.sequence for row in rows]

    assert await numbers() == [2, 3, 4]
    assert await numbers(upto=3) == [2, 3]
    assert await numbers(subject="things/b") == [2, 4]
    assert await numbers(types=("google.protobuf.StringValue",)) == [2, 3, 4]
    assert await numbers(types=("google.protobuf.BoolValue",), subject="things/b") == []


async def test_the_clean_up_removes_old_events_from_the_first_on(
    database: Database, kernel_url: str
) -> None:
    await write(database, "a1", "a2", "a3", "a4")
    await sequenced(database)
    with psycopg.connect(kernel_url, autocommit=True) as connection:
        # The third is young, so that the fourth must stay, too: no gap may come.
        connection.execute(
            "UPDATE events SET create_time = now() - interval '8 days' WHERE sequence <> 3"
        )
    await write(database, "a5")
    assert await Cleaner(database, [OLD_EVENTS]).sweep() == 2
    assert [row.sequence for row in await told(database)] == [3, 4]
    kept = await store.kept_at(database, 3)
    assert (kept.head, kept.first) == (4, 3)
    assert kept.event_id == (await told(database))[0].id


async def test_the_survey_counts_what_waits(database: Database) -> None:
    survey = event_survey(database, NO_METER)
    await survey.ask()
    assert [row.events for row in survey._rows] == [0]
    await write(database, "a1", "a2")
    await survey.ask()
    [row] = survey._rows
    assert row.events == 2
    assert row.oldest_seconds > 0


@pytest.mark.parametrize("service", ["auth", "profile", "commerce"])
def test_every_service_has_the_tables_with_the_first_number(
    databases: Databases, stack: ExitStack, service: str
) -> None:
    with psycopg.connect(databases.fresh(stack, service)) as connection:
        assert connection.execute("SELECT sequence FROM event_head").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)
