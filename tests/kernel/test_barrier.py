"""The participant's barrier under two real connections that get in each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from pydantic import TypeAdapter

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.database import Database, Transaction
from services.kernel.db.statement import NoParameters
from services.kernel.errors import DatabaseUnavailable, DomainError, NotFound, SagaCancelled
from services.kernel.ids import new_id
from services.kernel.sagas import barrier
from services.kernel.sagas.store import BySaga
from tests.kernel.saga_world import ALL_PARTS, DELETE_PART, INSERT_PART, Stop, create_tables
from tests.postgres import fresh_database, make_template


@dataclass(frozen=True)
class Reply:
    """What the branch answers."""

    made: int


REPLY = TypeAdapter(Reply)


class Participant:
    """Makes parts, through a database that a test can watch."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.made = 0

    async def create(self, saga_id: UUID, not_after: datetime | None = None) -> Reply:
        async def pa(tx: Transaction) -> Reply:
            async def work() -> Reply:
                self.made += 1
                await tx.execute(INSERT_PART, BySaga(saga_id))
                return Reply(self.made)

            return await barrier.once(
                tx, saga_id=saga_id, branch="part", not_after=not_after, work=work, codec=REPLY
            )

        return await self.database.transact("PA", pa)

    async def cancel(self, saga_id: UUID) -> None:
        async def pc(tx: Transaction) -> None:
            await barrier.cancel(tx, saga_id=saga_id, branch="part")
            await tx.execute(DELETE_PART, BySaga(saga_id))

        await self.database.transact("PC", pc)

    async def parts(self) -> int:
        return len(await self.database.all(ALL_PARTS, NoParameters()))


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    return make_template(postgres, "barrier_template", create_tables)


@pytest.fixture
def url(postgres: EmbeddedPostgres, template: str, stack: ExitStack) -> str:
    return stack.enter_context(fresh_database(postgres, template))


@pytest.fixture
async def participant(url: str) -> AsyncIterator[Participant]:
    database = Database(url, name="profile", connections=4)
    await database.open()
    yield Participant(database)
    await database.close()


async def observed(stack: AsyncExitStack, url: str, stop: Stop) -> Participant:
    database = Database(url, name="profile", connections=4, observer=stop)
    await database.open()
    stack.push_async_callback(database.close)
    return Participant(database)


async def test_a_repeat_gets_the_stored_reply_and_changes_nothing(participant: Participant) -> None:
    saga_id = new_id()
    assert await participant.create(saga_id) == Reply(1)
    assert await participant.create(saga_id) == Reply(1)
    assert await participant.parts() == 1


async def test_of_two_at_once_one_does_it_and_the_other_gets_its_reply(
    participant: Participant,
) -> None:
    """[R21]"""
    saga_id = new_id()
    replies = await asyncio.gather(*(participant.create(saga_id) for _ in range(8)))
    assert replies == [Reply(1)] * 8
    assert await participant.parts() == 1


async def test_a_cancel_before_the_create_leaves_a_tombstone(participant: Participant) -> None:
    """[R25]"""
    saga_id = new_id()
    await participant.cancel(saga_id)
    for _ in range(2):  # the refused create must not clear the tombstone (P5)
        with pytest.raises(SagaCancelled):
            await participant.create(saga_id)
    assert await participant.parts() == 0


async def test_a_cancel_that_waited_for_a_create_undoes_it(url: str) -> None:
    """[R24 P1]: the create commits while the cancel waits for its row."""
    async with AsyncExitStack() as stack:
        stop = Stop("profile.PA.commit.sent")
        participant = await observed(stack, url, stop)
        saga_id = new_id()
        create = asyncio.create_task(participant.create(saga_id))
        await stop.reached.wait()
        cancel = asyncio.create_task(participant.cancel(saga_id))
        await _until_blocked(participant)
        stop.released.set()
        assert await create == Reply(1)
        await cancel
        assert await participant.parts() == 0


async def test_a_cancel_fails_fast_when_a_zombie_holds_the_row_and_succeeds_later(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R52]"""
    async with AsyncExitStack() as stack:
        stop = Stop("profile.PA.commit.sent")
        zombie = await observed(stack, url, stop)
        monkeypatch.setattr("services.kernel.db.database.TRANSACTION_TRIES", 1)
        impatient = Database(url, name="profile", connections=2, options="-c lock_timeout=50ms")
        await impatient.open()
        stack.push_async_callback(impatient.close)
        participant = Participant(impatient)
        saga_id = new_id()
        create = asyncio.create_task(zombie.create(saga_id))
        await stop.reached.wait()
        with pytest.raises(DatabaseUnavailable):
            await participant.cancel(saga_id)
        stop.released.set()
        await create
        await participant.cancel(saga_id)
        assert await participant.parts() == 0


async def test_undoing_does_not_depend_on_the_barriers_memory(participant: Participant) -> None:
    """[P4 C40]: the row may be gone after a clean-up or a restore."""
    saga_id = new_id()
    await participant.create(saga_id)

    async def forget(tx: Transaction) -> None:
        await tx.connection.execute("DELETE FROM saga_barriers")

    await participant.database.transact("forget", forget)
    await participant.cancel(saga_id)
    assert await participant.parts() == 0


async def test_a_new_create_after_not_after_is_refused_but_a_repeat_is_answered(
    participant: Participant,
) -> None:
    """[R22 R26]"""
    past = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(SagaCancelled):
        await participant.create(new_id(), past)
    saga_id = new_id()
    await participant.create(saga_id, datetime.now(UTC) + timedelta(minutes=1))
    assert await participant.create(saga_id, past) == Reply(1)
    assert await participant.parts() == 1


async def test_an_error_in_the_work_rolls_the_barrier_back_too(participant: Participant) -> None:
    """[R15]"""
    saga_id = new_id()

    async def fails(tx: Transaction) -> Reply:
        async def work() -> Reply:
            raise NotFound("no")

        return await barrier.once(
            tx, saga_id=saga_id, branch="part", not_after=None, work=work, codec=REPLY
        )

    with pytest.raises(NotFound):
        await participant.database.transact("PA", fails)
    assert await participant.create(saga_id) == Reply(1)


async def test_a_kept_refusal_is_repeated_word_for_word(participant: Participant) -> None:
    """[P3]"""
    saga_id = new_id()

    class Gone(NotFound):
        reason = "WALLET_NOT_FOUND"
        text = "There is no such wallet."

    async def keep(tx: Transaction) -> None:
        await barrier.reject(tx, saga_id=saga_id, branch="part", error=Gone())

    await participant.database.transact("reject", keep)
    with pytest.raises(DomainError) as caught:
        await participant.create(saga_id)
    assert (caught.value.reason, caught.value.message) == (Gone.reason, Gone.text)
    await participant.cancel(saga_id)
    with pytest.raises(SagaCancelled):
        await participant.create(saga_id)


async def _until_blocked(participant: Participant) -> None:
    """Wait until a session waits for a lock."""

    async def look(tx: Transaction) -> int:
        cursor = await tx.connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async with asyncio.timeout(20):
        while not await participant.database.transact("look", look):
            pass


async def test_a_refusal_never_replaces_what_was_decided_before(participant: Participant) -> None:
    saga_id = new_id()
    await participant.create(saga_id)

    async def keep(tx: Transaction) -> None:
        await barrier.reject(tx, saga_id=saga_id, branch="part", error=NotFound("no"))

    await participant.database.transact("reject", keep)
    assert await participant.create(saga_id) == Reply(1)


@pytest.mark.parametrize("state", ["DONE", "REJECTED"])
async def test_a_spoilt_reply_is_an_unexpected_failure_that_quotes_nothing(
    url: str, participant: Participant, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    saga_id = new_id()
    await participant.create(saga_id)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "UPDATE saga_barriers SET state = %s, reply = %s", (state, '"unreadable-value"')
        )
    with pytest.raises(DomainError) as caught:
        await participant.create(saga_id)
    assert caught.value.reason == "INTERNAL"
    logged = "".join(capsys.readouterr())
    assert "is malformed" in logged
    assert "unreadable-value" not in logged
