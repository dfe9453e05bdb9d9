"""The recovery of sagas: what fails, hangs or cannot be read holds up nobody else.

The names in brackets are the rows of the fault matrix in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pydantic
import pytest

from services.kernel.db.database import Transaction
from services.kernel.sagas.lease_store import SagaQueue
from services.kernel.sagas.leases import Leases
from services.kernel.sagas.model import STORED, Nothing, RunningSaga, SagaKind
from services.kernel.sagas.protocol import ForwardOnlySaga
from services.kernel.sagas.recovery import SLOTS
from services.kernel.sagas.store import SagaRow
from tests import waiting
from tests.kernel.saga_world import Lost, Stop, World

# So long that nobody waits for it: what is done was not left for the next look.
NEVER_SECONDS = 1000.0


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class Task:
    """The payload of a task."""

    does: str = "end"


TASK = SagaKind("task", Task, Nothing, version=1)


@dataclass
class TaskSaga(ForwardOnlySaga[Task, Nothing]):
    """Ends, fails, or hangs first, as its payload says."""

    kind = TASK
    hang_seconds: float = NEVER_SECONDS
    calls: Counter[str] = field(default_factory=Counter)
    remembered: list[object] = field(default_factory=list)

    async def forward(self, saga: RunningSaga[Task]) -> None:
        self.calls[str(saga.id)] += 1
        self.remembered.append(saga.remembered)
        if saga.payload.does != "end":
            if saga.payload.does == "hang":
                await asyncio.sleep(self.hang_seconds)
            raise Lost

    async def complete(self, tx: Transaction, saga: RunningSaga[Task]) -> Nothing:
        return Nothing()


async def begin(w: World, number: int = 1, /, *, does: str = "end", **values: str) -> None:
    """Insert tasks that are due; values are expressions of SQL."""
    columns = {
        "id": "gen_random_uuid()",
        "kind": "'task'",
        "state": "'RUNNING'",
        "payload": f"""'{{"does": "{does}"}}'""",
        "next_run_at": "saga_now()",
    } | values
    await w.sql(
        f"INSERT INTO sagas ({', '.join(columns)})"
        f" SELECT {', '.join(columns.values())} FROM generate_series(1, {number})"
    )


async def until(w: World, condition: str, *, seconds: float = 30.0) -> None:
    """Wait until a condition holds of every saga."""
    async with asyncio.timeout(seconds):
        while await w.sql(f"SELECT 1 FROM sagas WHERE NOT coalesce({condition}, false) LIMIT 1"):
            pass  # every look asks the database, which lets the others run


async def test_recovery_goes_on_at_once_while_more_is_due(w: World) -> None:
    """[R58]"""
    await begin(w, 10 * SLOTS[SagaQueue.FRESH])
    engine = await w.engine(more=[TaskSaga()], poll_seconds=NEVER_SECONDS)
    engine.start()
    await until(w, "state = 'DONE'")


@dataclass
class Look:
    """A look for sagas that are due."""

    has_fresh_slots: bool
    claimed: set[str] = field(default_factory=set)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """The looks of all engines, in the order in which they began."""
    made: list[Look] = []
    claim = Leases.claim

    async def noted(self: Leases, kinds: Any, limits: Mapping[SagaQueue, int]) -> list[SagaRow]:
        look = Look(limits[SagaQueue.FRESH] > 0)
        made.append(look)
        rows = await claim(self, kinds, limits)
        look.claimed.update(str(row.id) for row in rows)
        return rows

    monkeypatch.setattr(Leases, "claim", noted)
    return made


async def test_the_step_after_t1_gets_what_t1_has_returned_and_recovery_gets_nothing(
    w: World,
) -> None:
    """[R10]"""
    task = TaskSaga()
    engine = await w.engine(more=[task])

    async def t1(_tx: Transaction, _saga_id: UUID) -> str:
        return "what T1 has read"

    await engine.run(TASK.new(Task(), user_id=None, initial_change=t1))
    await begin(w)
    engine.start()
    await until(w, "state = 'DONE'")
    assert task.remembered == ["what T1 has read", None]


async def test_a_healthy_saga_is_taken_up_by_the_next_look_beside_a_backlog(
    w: World, looks: list[Look]
) -> None:
    """[R53 R58]"""
    await begin(w, 5000)
    await begin(w, 200, does="fail", attempts="3")
    await begin(w, 200, does="hang", attempts="11", parked_at="now()")
    for values in UNREADABLE.values():
        await begin(w, **values)
    engine = await w.engine(more=[TaskSaga(hang_seconds=1.0)])
    engine.start()
    async with asyncio.timeout(10):
        while len(await w.sql("SELECT 1 FROM sagas WHERE state = 'DONE'")) < 100:
            pass  # until it is in the middle of it
    await begin(w, does="end", user_id="gen_random_uuid()")
    before = len(looks)
    await until(w, "user_id IS NULL OR state = 'DONE'")
    [healthy] = await w.sql("SELECT id::text FROM sagas WHERE user_id IS NOT NULL")
    later = [look for look in looks[before:] if look.has_fresh_slots]
    assert any(healthy.id in look.claimed for look in [*looks[:before], *later[:1]])
    assert await w.sql("SELECT 1 FROM sagas WHERE state <> 'DONE' AND attempts = 1 LIMIT 1")


@dataclass
class HeldSaga(TaskSaga):
    """One that can be held."""

    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def forward(self, saga: RunningSaga[Task]) -> None:
        if saga.payload.does == "wait":
            await self.released.wait()


async def test_a_slot_that_gets_free_during_a_look_is_used_at_once(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R58]"""
    await begin(w, SLOTS[SagaQueue.FRESH])  # so many that there is a second look
    await begin(w, SLOTS[SagaQueue.PARKED] + 1, does="wait", attempts="5", parked_at="now()")
    saga = HeldSaga()
    engine = await w.engine(more=[saga], poll_seconds=NEVER_SECONDS)
    claim, driven = Leases.claim, engine._takes_up._driven

    async def slow(self: Leases, kinds: Any, limits: Mapping[SagaQueue, int]) -> list[SagaRow]:
        rows = await claim(self, kinds, limits)
        if limits[SagaQueue.PARKED] == 0:
            saga.released.set()
            await waiting.until(lambda: not driven)
        return rows

    monkeypatch.setattr(Leases, "claim", slow)
    engine.start()
    await until(w, "state = 'DONE'")


@pytest.mark.parametrize("queue", [SagaQueue.TRIED, SagaQueue.PARKED])
async def test_sagas_that_hang_hold_up_no_others(w: World, queue: SagaQueue) -> None:
    """[R53]"""
    parked = "now()" if queue is SagaQueue.PARKED else "NULL"
    await begin(w, 100, does="hang", attempts="5", parked_at=parked)
    await begin(w, 2 * SLOTS[SagaQueue.FRESH])
    others = {SagaQueue.TRIED: SagaQueue.PARKED, SagaQueue.PARKED: SagaQueue.TRIED}
    is_parked = others[queue] is SagaQueue.PARKED
    await begin(w, 10, attempts="5", parked_at="now()" if is_parked else "NULL")
    saga = TaskSaga()
    engine = await w.engine(more=[saga], poll_seconds=NEVER_SECONDS)
    engine.start()
    await until(w, """state = 'DONE' OR payload ->> 'does' = 'hang'""")
    hanging = await w.sql("SELECT id::text FROM sagas WHERE payload ->> 'does' = 'hang'")
    assert sum(saga.calls[row.id] for row in hanging) == SLOTS[queue]


async def test_a_saga_that_fails_gets_one_try_a_claim_and_is_parked_in_the_end(w: World) -> None:
    """[R53]"""
    await begin(w, 3, does="fail")
    saga = TaskSaga()
    engine = await w.engine(more=[saga], poll_seconds=0.01)
    engine.start()
    async with asyncio.timeout(30):
        while await w.sql("SELECT 1 FROM sagas WHERE parked_at IS NULL"):
            await w.sql("UPDATE sagas SET next_run_at = saga_now() WHERE lease_owner IS NULL")
    await until(w, "lease_owner IS NULL AND next_run_at > saga_now()")
    rows = await w.sql("SELECT id::text, attempts, last_error FROM sagas")
    for row in rows:
        assert saga.calls[row.id] == row.attempts - 1
        assert row.last_error == "Lost"


# Each of these made a claim fail, and with it all others.
UNREADABLE: dict[str, dict[str, str]] = {
    "a number that is too long": {
        "payload": """('{"does": ' || repeat('9', 5000) || '}')::jsonb"""
    },
    "JSON that is too deep": {"payload": "(repeat('[', 3000) || repeat(']', 3000))::jsonb"},
    "a result that is too deep": {"result": "(repeat('[', 3000) || repeat(']', 3000))::jsonb"},
    "a payload of another form": {"payload": "'5'"},
    "no payload": {"payload": "'null'"},
}
ODD = {
    "moments without a date": {
        "deadline_at": "'infinity'",
        "create_time": "'-infinity'",
        "next_run_at": "'-infinity'",
        "update_time": "'infinity'",
    },
    "moments of other calendars": {
        "deadline_at": "'4000-01-01 BC'",
        "create_time": "'20000-01-01'",
        "next_run_at": "'0001-01-01'",
    },
    "an error of another form": {"error": "'5'"},
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_saga_that_cannot_be_read_is_postponed_and_stops_nobody(
    w: World, name: str
) -> None:
    await begin(w, **UNREADABLE[name], user_id="gen_random_uuid()")
    await begin(w, 3)
    engine = await w.engine(more=[TaskSaga()], poll_seconds=NEVER_SECONDS)
    engine.start()
    await until(w, "state = 'DONE' OR last_error IS NOT NULL")
    [row] = await w.sql(
        "SELECT state, attempts, lease_owner, next_run_at > update_time AS is_later"
        " FROM sagas WHERE user_id IS NOT NULL"
    )
    assert tuple(row) == ("RUNNING", 2, None, True)
    assert len(await w.sql("SELECT 1 FROM sagas WHERE state = 'DONE'")) == 3


@pytest.mark.parametrize("name", ODD)
async def test_a_saga_that_python_could_not_hold_is_driven_all_the_same(
    w: World, name: str
) -> None:
    await begin(w, 2)
    await begin(w, **ODD[name])
    engine = await w.engine(more=[TaskSaga()], poll_seconds=NEVER_SECONDS)
    engine.start()
    await until(w, "state = 'DONE'")


async def test_a_round_that_fails_is_not_the_last_one(w: World) -> None:
    """[R57]"""
    failures = [RuntimeError("a bug"), RuntimeError("another")]

    async def fail(edge: str) -> None:
        if ".K." in edge and failures:
            raise failures.pop()

    engine = await w.engine(more=[TaskSaga()], poll_seconds=0.01, observer=fail)
    engine.start()
    await begin(w)
    await until(w, "state = 'DONE'")
    assert not failures


async def test_a_stop_gives_back_at_once_what_was_taken_up_and_counts_no_attempt(
    w: World,
) -> None:
    """[R56]"""
    await begin(w, 5, does="hang")
    engine = await w.engine(more=[TaskSaga()])
    engine.start()
    await until(w, "lease_owner IS NOT NULL")
    await engine.retire()
    rows = await w.sql(
        "SELECT lease_owner, attempts, next_run_at <= saga_now() AS is_due FROM sagas"
    )
    assert {tuple(row) for row in rows} == {(None, 1, True)}


async def test_a_stop_in_the_middle_of_a_claim_gives_back_what_it_claims(w: World) -> None:
    """[R56]"""
    await begin(w, 5)
    stop = Stop("auth.K.commit.sent")
    engine = await w.engine(
        more=[
            TaskSaga(),
        ],
        observer=stop,
    )
    engine.start()
    await stop.reached.wait()
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    stop.released.set()
    await stopping
    assert not await w.sql(
        "SELECT 1 FROM sagas WHERE state <> 'DONE'"
        " AND (lease_owner IS NOT NULL OR next_run_at > saga_now())"
    )


async def test_a_saga_that_is_locked_at_a_stop_is_given_back_when_it_is_free(w: World) -> None:
    """[R56]"""
    await begin(w, does="hang")
    stop = Stop("auth.release.commit.acked")
    engine = await w.engine(more=[TaskSaga()], observer=stop)
    engine.start()
    await until(w, "lease_owner IS NOT NULL")
    async with await psycopg.AsyncConnection.connect(w.coordinator_url) as other:
        await other.execute("SELECT FROM sagas FOR UPDATE")
        stopping = asyncio.create_task(engine.stop())
        await stop.reached.wait()
    stop.released.set()
    await stopping
    assert await w.sql("SELECT 1 FROM sagas WHERE lease_owner IS NOT NULL") == []


async def test_another_replica_goes_on_with_what_a_stopped_one_gave_back(w: World) -> None:
    """[R56]"""
    await begin(w, 5, does="hang")
    first = await w.engine(more=[TaskSaga()], application="first")
    first.start()
    await until(w, "lease_owner = 'first'")
    second = await w.engine(more=[TaskSaga()], application="second")
    second.start()
    await first.stop()
    assert await w.sql("SELECT 1 FROM sagas WHERE lease_owner = 'first'") == []
    await until(w, "lease_owner = 'second'")
